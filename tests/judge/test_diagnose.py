"""The diagnosis names mistakes of the catalogue, alone and in pairs, however they are written."""

import functools
import re

import numpy as np
import pytest

from bptt_check.judge.asking import Explanation, Mistake, Where
from bptt_check.judge.report import Report
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_text, in_one_line
from catalogued import of_name
from judged import examine, in_this_process, remade
from problems import Array
from rnn_numpy.elman_network.textbook import sigmoid, textbook
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]  # thousands of small calls


def vectorised(
    x: Array, y: Array, U: Array, W: Array, V: Array, wrong: str = ""
) -> tuple[Array, Array, Array]:
    """The same mistakes in a pass that is written another way than the textbook's."""
    time, batch, _ = x.shape
    h = np.zeros((time + 1, batch, len(W)), x.dtype)
    projected = x @ U
    for t in range(time):
        h[t + 1] = sigmoid(projected[t] + h[t] @ W)
    o = sigmoid(h[1:] @ V)
    eps = (o - y) * (o - o * o)
    slope = h[1:] - h[1:] ** 2
    delta = eps @ V.T
    for t in reversed(range(time)):
        if t + 1 < time:
            delta[t] += delta[t + 1] @ (W if wrong == "W not transposed" else W.T)
        delta[t] *= slope[t]
    pairs = (x, delta), (h[:-1], delta), (h[1:], eps)
    count = batch if wrong == "batch averaged, not summed" else 1
    dU, dW, dV = (np.einsum("tbi,tbo->io", *pair) / count for pair in pairs)
    return dU, dW, dV


@pytest.mark.parametrize(
    ("wrong", "dtype"), [("W not transposed", "float64"), ("batch averaged, not summed", "float32")]
)
def test_a_mistake_is_named_however_it_is_written(wrong: str, dtype: str) -> None:
    report = examine(remade(lambda: functools.partial(vectorised, wrong=wrong)), dtype=dtype)
    same = examine(remade(lambda: planted(of_name(wrong))), dtype=dtype)
    assert report.mistakes
    assert report.mistakes == same.mistakes


@pytest.mark.parametrize("factor", [3, 1.0001, 1 + 1e-9])
def test_a_single_wrong_number_is_shown(factor: float) -> None:
    def scaled(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU, factor * dW, dV

    report = examine(in_this_process(scaled))
    (sentence,) = report.factors
    found = re.fullmatch(r"dW is (\S+) times the gradient, to within rounding", sentence)
    assert found is not None
    assert found[1] == f"{factor:.10g}"


def test_two_mistakes_at_once_are_both_found() -> None:
    names = "W not transposed", "h_t for h_{t-1} in dW"
    alone = [examine(remade(lambda n=n: planted(of_name(n)))).mistakes for n in names]  # type: ignore[misc]
    (together,) = examine(remade(lambda: planted(*map(of_name, names)))).mistakes or ()
    for mistakes in alone:
        assert mistakes
        (mistake,) = mistakes
        texts = (mistake.name, *mistake.also)
        assert any(text in each for text in texts for each in (together.name, *together.also))


def test_an_unknown_mistake_gets_no_name() -> None:
    def odd(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU * 1.01, dW, dV + 0.001

    report = examine(in_this_process(odd))
    assert report.verdict == "disagrees"
    assert report.mistakes == ()
    assert report.factors == ("dU is 1.01 times the gradient, to within rounding",)
    assert "None of those known gives these gradients" in as_text(report, "odd")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_mistakes_of_a_set_are_numbered(count: int) -> None:
    mistakes = tuple(Mistake(m.name, m.equation) for m in CATALOGUE[:count])
    report = Report("disagrees", "float64", None, 1, 1, 9.0, mistakes=(Explanation(mistakes),))
    said = as_text(report, "f")
    page = re.sub(r"<.*?>|\s+", " ", as_html([("f", report)], "float64"))
    numbered = re.findall(r"^  (\d)\. (.+)$", said, re.MULTILINE)
    if count == 1:
        assert f"\nIt behaves exactly like: {CATALOGUE[0].name}\n" in said
        assert not numbered
    else:
        lead = f"It behaves exactly like these {count} mistakes together:"
        assert lead in said
        assert lead in page
        assert numbered == [(str(k), m.name) for k, m in enumerate(mistakes, 1)]


def test_what_nothing_explains_is_listed_with_its_first_wrong_loss() -> None:
    its = Explanation((Mistake("a mistake", ""),), (), ("dU",), ("dV", "dW, gate i"))
    used = np.array([[1.0, 0], [1.0, 9.0]])
    where = Where({"dV": used}, {"dV": used == 0}, {"dW, gate i": np.array([9.0, 1.0])})
    report = Report("disagrees", "float64", None, 1, 1, 9.0, mistakes=(its,), where=where)
    words = (
        "Not explained: dV (wrong from the loss at t=2 on); dW, gate i (wrong first at the loss at "
        "t=1)."
    )
    assert words in " ".join(as_text(report, "f").split())
    assert in_one_line(report, "f") == "f: dU: a mistake; "
