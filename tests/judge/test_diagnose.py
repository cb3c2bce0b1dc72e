"""The diagnosis names mistakes of the catalogue, alone and in pairs, however they are written."""

import functools
import re

import numpy as np
import pytest

from bptt_check.judge.asking import Explanation, Mistake
from bptt_check.judge.report import Report
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_text
from catalogued import dtypes, of_name
from judged import examine, in_this_process, remade
from problems import Array
from rnn_numpy.elman_network.textbook import sigmoid, textbook
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = pytest.mark.unannotated  # thousands of small calls


# The same mistakes in passes that are written another way than the textbook's.
def vectorised(
    x: Array, y: Array, U: Array, W: Array, V: Array, wrong: str = ""
) -> tuple[Array, Array, Array]:
    time, batch, _ = x.shape
    h = np.zeros((time + 1, batch, len(W)), x.dtype)
    projected = x @ U
    for t in range(time):
        h[t + 1] = sigmoid(projected[t] + h[t] @ W)
    o = sigmoid(h[1:] @ V)
    eps = (o - y) * (o - o * o)
    if wrong == "cross-entropy's delta":
        eps = o - y
    slope = h[1:] - h[1:] ** 2
    if wrong == "tanh's derivative":
        slope = (1 - h[1:]) * (1 + h[1:])
    delta = eps @ V.T
    for t in reversed(range(time)):
        if t + 1 < time:
            delta[t] += delta[t + 1] @ (W if wrong == "W not transposed" else W.T)
        delta[t] *= slope[t]
    before = h[1:] if wrong == "h_t for h_{t-1} in dW" else h[:-1]
    gradients = [np.einsum("tbi,tbo->io", *p) for p in ((x, delta), (before, delta), (h[1:], eps))]
    if wrong == "batch averaged, not summed":
        gradients = [gradient / batch for gradient in gradients]
    dU, dW, dV = gradients
    return dU, dW, dV


@dtypes
@pytest.mark.parametrize(
    "wrong",
    [
        "W not transposed",
        "cross-entropy's delta",
        "tanh's derivative",
        "h_t for h_{t-1} in dW",
        "batch averaged, not summed",
    ],
)
def test_a_mistake_is_named_however_it_is_written(wrong: str, dtype: str) -> None:
    report = examine(remade(lambda: functools.partial(vectorised, wrong=wrong)), dtype=dtype)
    same = examine(remade(lambda: planted(of_name(wrong))), dtype=dtype)
    assert report.mistakes
    assert report.mistakes == same.mistakes


@pytest.mark.parametrize("factor", [3, 0.5, 1.0005, 1.0001, 1 + 1e-9])
def test_a_single_wrong_number_is_shown(factor: float) -> None:
    def scaled(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU, factor * dW, dV

    report = examine(in_this_process(scaled))
    (sentence,) = report.factors
    found = re.fullmatch(r"dW is (\S+) times the gradient, to within rounding", sentence)
    assert found is not None
    assert found[1] == f"{factor:.10g}"


@pytest.mark.parametrize(
    "names",
    [("W not transposed", "h_t for h_{t-1} in dW"), ("tanh's derivative", "h_{t-1} for h_t in dV")],
)
def test_two_mistakes_at_once_are_both_found(names: tuple[str, str]) -> None:
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
    assert "No guess is made" in as_text(report, "odd")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_explanations_that_fit_equally_well_are_numbered(count: int) -> None:
    explanations = tuple(Explanation((Mistake(m.name, m.equation),)) for m in CATALOGUE[:count])
    report = Report("disagrees", "float64", None, 1, 1, 9.0, mistakes=explanations)
    said = as_text(report, "f")
    page = re.sub(r"<.*?>|\s+", " ", as_html([("f", report)], "float64"))
    if count == 1:
        assert f"\nIt behaves exactly like: {CATALOGUE[0].name}\n" in said
        assert "Explanation" not in said + page
        return
    lead = {
        2: "2 explanations fit the answers equally well:",
        5: "5 explanations fit the answers equally well. The first 4:",
    }[count]
    assert f"\n{lead}\nExplanation 1: {CATALOGUE[0].name}\n" in said
    assert lead in page
    for text in (said, page):
        assert re.findall(r"Explanation (\d):", text) == list("1234")[:count]
