"""Passes that change their inputs, or return something else in the second call."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bptt_check.reports.text import as_text
from catalogued import of_name
from judged import examine, remade
from problems import Array
from rnn_numpy.elman_network.textbook import Backward, textbook
from rnn_torch import check
from tests.passes import textbook as stock_passes
from tests.passes.elman_mistakes import planted

pytestmark = pytest.mark.unannotated  # thousands of small calls


def changes_x(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
    result = textbook(x, y, U, W, V)
    x *= 2
    return result


def counts_its_calls() -> Backward:
    calls = [0]

    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        calls[0] += 1
        return [calls[0] ** 2 * gradient for gradient in textbook(x, y, U, W, V)]

    return backward


def kept_by_array() -> Backward:
    """x U is computed once for an array x, which a training loop fills with its next batch."""
    products: dict[int, tuple[Array, Array]] = {}

    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        _, product = products.setdefault(id(x), (x, x @ U))
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU + (product - x @ U).sum(), dW, dV

    return backward


IMPURE: dict[str, Callable[[], Backward]] = {
    "x is changed in place": lambda: changes_x,
    "a second call with the same inputs returns a different gradient, so it keeps state": (
        counts_its_calls
    ),
    "a second call with the same inputs returns a different gradient, twice the first": (
        lambda: planted(of_name("stale gradient buffers"))
    ),
    "the last answer, in the arrays of the call before, changed in place, differs": kept_by_array,
}


@pytest.mark.few
@pytest.mark.verdict
@pytest.mark.parametrize("says", IMPURE)
def test_impurities_are_named(says: str) -> None:
    report = examine(remade(IMPURE[says]))
    assert report.verdict == "impure"
    assert any(says in text for text in report.impure), report.impure
    assert says in " ".join(as_text(report, "f").split())


CLASS = """
class Net:
    def __init__(self, U, W, b, V, c):
        self.U, self.W, self.b, self.V, self.c = U, W, b, V, c
        self.dU = np.zeros_like(U)
    def backward(self, x, h_0, y):
        found = tanh(x, h_0, self.U, self.W, self.b, y, self.V, self.c)
        self.dU += found["dU"]
        return {**found, "dU": self.dU}
"""


@pytest.mark.few
def test_what_an_object_keeps_between_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sums that are cleared where the object is made alone are right once."""
    file, body = tmp_path / "mine.py", inspect.getsource(stock_passes.tanh)
    head = "import numpy as np\nfrom typing import Any\nArray, Gradients = np.ndarray, dict\n"
    file.write_text(f"{head}{body}\n{CLASS}")
    assert check.main([f"{file}:Net.backward", "--network", "tanh", "--json"]) == 1
    fields = json.loads(capsys.readouterr().out)
    assert fields["verdict"] == "impure"
    assert fields["impure"] == ["a second call on the same object returns other gradients: dU"]
