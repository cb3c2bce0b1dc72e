"""Mistakes that need one condition: each is detected with it, and right without it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rnn_torch.elman_by_hand.parity import Reference, reference
from rnn_torch.elman_by_hand.problems import CONDITIONS, Problem, Shapes, designed

from benchmarks.pages.tables_of_trust import conditions_table
from bptt_check.judge.asking import CannotCheck
from bptt_check.judge.comparison import agrees
from bptt_check.reports.text import as_text
from catalogued import ANY, dtypes, questions
from hidden_mistakes import HIDDEN, KEPT
from judged import examine, in_this_process, kept_between_calls, remade
from rnn_numpy import bptt, forward
from rnn_numpy.elman_network.textbook import Array, textbook
from tests.passes.elman_mistakes import Mistake, planted

pytestmark = pytest.mark.unannotated  # thousands of small calls
DOCS = Path(__file__).parents[2] / "docs"
ORDINARY = {condition.problem for condition in CONDITIONS[:15]}  # mistakes hid behind the others


def sees(mistake: Mistake, problem: Problem, right: Reference) -> bool:
    with np.errstate(all="ignore"):
        answer = remade(lambda: planted(mistake))(problem)
    return not (agrees(answer.gradients, right) and agrees(answer.second, right))


@dtypes
@pytest.mark.parametrize(
    ("condition", "mistake"), HIDDEN, ids=[f"{c}: {m.name}" for c, m in HIDDEN]
)
def test_caught_under_its_condition_and_right_elsewhere(
    condition: str, mistake: Mistake, dtype: str
) -> None:
    for problem, right in questions(dtype):
        if problem.name in ORDINARY or problem.name.startswith("random"):
            assert not sees(mistake, problem, right), problem.name
        elif problem.name == condition:
            assert sees(mistake, problem, right)
    if condition == KEPT:
        (text,) = kept_between_calls(remade(lambda: planted(mistake)), ANY, dtype, None)
        assert text.startswith(KEPT)


def test_a_mistake_for_every_condition() -> None:
    assert len(HIDDEN) >= 40
    assert {c.problem for c in CONDITIONS} - ORDINARY == {c for c, _ in HIDDEN} - {KEPT}


def test_the_page_has_the_table_of_conditions() -> None:
    page = (DOCS / "check.md").read_text()
    assert conditions_table() in page, "docs/check.md is out of date: make kill-matrix"
    names = [condition.problem for condition in CONDITIONS]
    assert len(set(names)) == len(names)


@dtypes
def test_the_problems_are_what_the_table_says(dtype: str) -> None:
    by_name = {problem.name: problem for problem in designed(ANY, dtype)}
    assert list(by_name) == [condition.problem for condition in CONDITIONS]
    for c in CONDITIONS:
        assert by_name[c.problem].sizes == c.sizes
        assert by_name[c.problem].dtype == dtype
    for array in (by_name["Fortran order"].x, *by_name["Fortran order"].params):
        assert array.flags.f_contiguous
        assert not array.flags.c_contiguous
    for array in (by_name["strided views"].x, *by_name["strided views"].params):
        assert not array.flags.forc
    hot = by_name["one-hot inputs again"].x
    assert ((hot == 0) | (hot == 1)).all()
    assert (hot.sum(2) == 1).all()
    assert any(len(set(step)) < len(step) for step in hot.argmax(2).tolist())
    for name in ("a state beyond exp", "an output beyond exp"):
        params, x, _, _ = by_name[name]
        outputs, trace = forward(params, x)
        states = np.concatenate([0 * trace.states[:1], trace.states[1:-1]])
        z = x @ params.U + states @ params.W if "state" in name else trace.states[1:] @ params.V
        assert z.min() < -709
        assert z.max() > 709
        assert ((outputs > 0.01) & (outputs < 0.99)).any()


def test_the_report_has_the_condition() -> None:
    mistake = next(m for _, m in HIDDEN if m.name == "inputs clipped")
    report = examine(remade(lambda: planted(mistake)))
    assert report.verdict == "disagrees"
    assert report.only_at == ("inputs of 300",)
    screen = as_text(report, "f")
    assert "Wrong only at 'inputs of 300', right elsewhere" in screen
    assert len(screen.splitlines()) <= 30


def test_a_pass_of_one_size_gets_all_values_and_layouts() -> None:
    """Problems with special values and layouts exist at any size, those of special sizes do not."""
    recipe = Shapes.parse("recipe")
    asked = designed(recipe, "float64")
    assert {problem.sizes for problem in asked} == {recipe.only}
    names = {problem.name for problem in asked}
    assert names == {c.problem for c in CONDITIONS if c.any_size}
    assert {"some zeros", "strided views", "targets of 3,000", "W the identity"} <= names


@dtypes
@pytest.mark.parametrize("window", [0, 19, 60, 140])
def test_any_truncation_window_is_detected(window: int, dtype: str) -> None:
    """The problems must be longer than the window: with 20 steps, full BPTT is right from 19 on."""
    problem = next(p for p in designed(ANY, dtype, window) if p.name == "long memory")
    right = reference(problem, window)
    params, x, targets, _ = problem
    trace = forward(params, x)[1]
    assert agrees(bptt(params, trace, targets, window=window)._asdict(), right)
    assert not agrees(bptt(params, trace, targets)._asdict(), right)
    if dtype == "float64":
        assert not agrees(bptt(params, trace, targets, window=window + 1)._asdict(), right)


def test_a_window_that_no_problem_can_test_is_refused() -> None:
    with pytest.raises(CannotCheck, match=r"window of 7 .*: none has more than 8 steps"):
        examine(in_this_process(textbook), window=7, shapes=Shapes.parse("8,1,2,16,1"))
    assert not examine(in_this_process(textbook), window=19).right


def test_the_report_of_a_sequence_of_calls() -> None:
    """A pass that is right in two calls and wrong in the third."""

    def make() -> Any:
        calls = []

        def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
            calls.append(x.shape)
            return [g * (1 + len(calls) // 3) for g in textbook(x, y, U, W, V)]

        return backward

    report = examine(remade(make))
    assert report.verdict == "impure"
    assert report.impure == (
        "state is kept between calls: asked A, B in one process, the last answer differs "
        "from the answer to that problem alone",
    )


def test_a_sequence_of_calls_in_which_it_fails() -> None:
    def ask(problem: Problem, *before: Problem) -> Any:
        if any(one.sizes != problem.sizes for one in before):
            raise CannotCheck("it raises ValueError: the buffers have another shape")
        return in_this_process(textbook)(problem)

    (text,) = kept_between_calls(ask, ANY, "float64", None)
    assert text == (
        "state is kept between calls: asked A, B, A, C, B, A in one process, it raises ValueError: "
        "the buffers have another shape"
    )
    assert kept_between_calls(in_this_process(textbook), ANY, "float64", None) == ()
