"""Mistakes that need one condition: each is detected with it, and right without it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Ask, CannotCheck
from bptt_check.judge.comparison import agrees, is_sharp
from bptt_check.judge.examine import examine
from bptt_check.judge.purity import kept_between_calls
from bptt_check.networks.roles import roles
from bptt_check.subjects import subject_for
from bptt_check.tracing.reverse import Altered
from judged import remade
from profiles import NIGHTLY, nightly
from rnn_torch.networks import CONDITIONS, STOCK, Problem, designed, drawn, network, stock, tokens
from tests.networks.hidden import HIDDEN, KEPT, NAMES, planted

pytestmark = pytest.mark.unannotated  # thousands of small calls
ORDINARY = {"general", "two steps", "all sizes equal", "weights of 0.01", "weights of 3"}
ORDINARY |= {"saturated: weights of 10", "inputs of 10", "errors of 30"}
BY_DAY = {"general", "random 1"}  # of those


def subject(name: str) -> AnyNetwork:
    return subject_for(None if name == "elman" else name)


def is_ordinary(name: str) -> bool:
    ordinary = name in ORDINARY or name.startswith(("random", "one "))
    return ordinary if NIGHTLY else name in BY_DAY


def is_right(ask: Ask, its: AnyNetwork, problem: Problem) -> bool:
    with np.errstate(all="ignore"):
        try:
            return agrees(ask(problem).gradients, its.reference(problem))
        except CannotCheck:
            return False


@pytest.mark.parametrize("name", NAMES)
def test_hidden_mistakes_are_seen_under_their_condition_and_right_elsewhere(name: str) -> None:
    """By day each mistake for one of the networks that have it."""
    its, seen_elsewhere, missed = subject(name), [], []
    problems = list(its.problems("float64", 0))
    for number, mistake in enumerate(HIDDEN):
        asked = mistake.only if NIGHTLY else (mistake.only[number % len(mistake.only)],)
        if name not in asked:
            continue
        ask = remade(partial(planted, name, mistake), subject=its)
        wrong = not all(is_right(ask, its, p) for p in problems if p.name == mistake.condition)
        if mistake.condition == KEPT:
            wrong = bool(kept_between_calls(ask, its, "float64"))
        missed += [mistake.name] * (not wrong)
        ordinary = (p for p in problems if is_ordinary(p.name))
        seen_elsewhere += [mistake.name] * (not all(is_right(ask, its, p) for p in ordinary))
    assert (missed, seen_elsewhere) == ([], [])


def test_there_is_a_mistake_for_every_condition() -> None:
    hidden = {m.condition for m in HIDDEN} - {KEPT}
    assert len(HIDDEN) >= 58
    others = {c.name for c in CONDITIONS} - ORDINARY - hidden
    assert others == {
        "one x",
        "inputs of their own each",
        "the same input twice",
        "bits",
        "weights 0",
    }


@pytest.mark.verdict
def test_the_report_has_the_condition() -> None:
    mistake = next(m for m in HIDDEN if m.name == "inputs clipped")
    its = subject("tanh")
    report = examine(remade(lambda: planted("tanh", mistake), subject=its), its)
    assert report.verdict == "disagrees"
    assert report.only_at == ("inputs of 300",)


@pytest.mark.parametrize(
    "name", [n if n != "gru" else pytest.param(n, marks=nightly) for n in STOCK]
)
def test_a_truncation_is_seen_at_the_long_problem(name: str) -> None:
    its = subject(name)
    problem = next(p for p in designed(its.network) if p.name == "long memory")
    right, graph = its.reference(problem), its.catalogue.graph(problem)
    assert is_sharp(right, np.finfo(float).eps)
    for window in (20, 45, 100) if NIGHTLY else (45,):
        assert not agrees(graph.gradients(Altered(window=window)), right), window


def test_the_long_problem_is_longer_than_the_window() -> None:
    problem = next(p for p in drawn(stock("tanh"), window=140) if p.name == "long memory")
    assert problem.sizes["time"] == 185


def test_what_cannot_tell_is_drawn_again_with_smaller_weights() -> None:
    its, posed = stock("tanh"), list[Problem]()

    def tells(problem: Problem) -> bool:
        posed.append(problem)
        return problem.name != "two steps" and len(posed) > 1

    found = list(drawn(its, tells=tells))
    assert [p.name for p in posed[:3]] == ["general", "general", "two steps"]
    assert found[0] is posed[1]
    assert 0.3 < np.std(found[0].values["U"]) / np.std(posed[0].values["U"]) < 0.7
    assert found[1] is posed[2]  # no smaller weights help: the first draw
    assert [p.name for p in found] == [p.name for p in designed(its)]


def test_no_problem_of_a_stock_network_is_blind() -> None:
    for name in ("elman", "tanh", "gru", "lstm"):
        its, eps = subject(name), np.finfo(float).eps
        assert [
            p.name for p in its.problems("float64", 0) if not is_sharp(its.reference(p), eps)
        ] == []


def test_the_roles_of_weights() -> None:
    @network(x="time batch n_in", W="hidden+n_in 4*hidden", b="4*hidden", V="n_out hidden")
    def side_by_side(x: Any, W: Any, b: Any, V: Any) -> Iterator[Any]:
        yield x.sum()

    @network(
        words=tokens("time", below="vocab"),
        E="vocab embed",
        Wxh="hidden embed",
        Whh="hidden hidden",
        Why="vocab hidden",
        h_0="hidden 1",
    )
    def embedded(words: Any, E: Any, Wxh: Any, Whh: Any, Why: Any, h_0: Any) -> Iterator[Any]:
        yield E.sum()

    its = roles(side_by_side)
    assert [p.argument for p in its.recurrent] == [p.argument for p in its.of_inputs] == ["W"]
    assert [(p.argument, p.rows, p.columns) for p in its.of_outputs] == [("V", "hidden", "n_out")]
    problems = {p.name: p for p in designed(side_by_side)}
    identity = problems["recurrent weights the identity"]
    W, units = identity.values["W"], identity.sizes["hidden"]
    np.testing.assert_array_equal(W[:units], np.tile(np.eye(units), 4))
    assert W[units:].all()
    beyond = problems["a state beyond exp"].values["W"]
    assert (abs(beyond[units:, ::units]) > 5000).all()
    assert abs(beyond[:units]).max() < 10
    its = roles(embedded)
    assert [(p.argument, p.rows, p.columns) for p in its.of_inputs] == [("Wxh", "embed", "hidden")]
    assert [p.argument for p in its.of_outputs] == ["Why"]
    assert its.biases == ("h_0",)


def test_layouts() -> None:
    problems = {p.name: p for p in designed(stock("lstm"))}
    for array in (a for a in problems["Fortran order"].values.values() if a.ndim > 1):
        assert array.flags.f_contiguous
        assert not array.flags.c_contiguous
    assert not any(a.flags.forc for a in problems["strided views"].values.values())
