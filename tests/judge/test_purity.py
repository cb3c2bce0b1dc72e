"""Passes that change their inputs, or return something else in the second call."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


IMPURE: list[tuple[str, Callable[[], Backward]]] = []


def impure(says: str) -> Callable[[Callable[[], Backward]], Callable[[], Backward]]:
    def remember(make: Callable[[], Backward]) -> Callable[[], Backward]:
        IMPURE.append((says, make))
        return make

    return remember


@impure("x is changed in place")
def changes_x() -> Backward:
    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        result = textbook(x, y, U, W, V)
        x *= 2
        return result

    return backward


@impure("a second call overwrites dW, which the first has returned")
def reuses_buffers() -> Backward:
    buffers: dict[Any, Any] = {}

    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        kept = buffers.setdefault(
            (U.shape, V.shape, U.dtype), [np.empty_like(w) for w in (U, W, V)]
        )
        for buffer, gradient in zip(kept, textbook(x, y, U, W, V), strict=True):
            buffer[:] = gradient + 0 * np.random.default_rng().random()
        noise = 1e-3 * np.random.default_rng().random()
        kept[0] += noise
        kept[1] += noise
        kept[2] += noise
        return kept

    return backward


@impure("a second call with the same inputs returns a different gradient, so it keeps state")
def counts_its_calls() -> Backward:
    calls = [0]

    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        calls[0] += 1
        return [calls[0] ** 2 * gradient for gradient in textbook(x, y, U, W, V)]

    return backward


@impure("a second call with the same inputs returns a different gradient, twice the first")
def never_resets() -> Backward:
    return planted(of_name("stale gradient buffers"))


@impure("dV shares its memory with dU")
def aliases() -> Backward:
    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        dU, dW, dV = textbook(x, y, U, W, V)
        flat = np.zeros(max(dU.size, dV.size))
        return flat[: dU.size].reshape(dU.shape), dW, flat[: dV.size].reshape(dV.shape)

    return backward


@impure("dW shares its memory with W")
def returns_an_input() -> Backward:
    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        dU, dW, dV = textbook(x, y, U, W, V)
        W[:] = dW
        return dU, W, dV

    return backward


@pytest.mark.verdict
@pytest.mark.parametrize(("says", "make"), IMPURE, ids=[make.__name__ for _, make in IMPURE])
def test_impurities_are_named(says: str, make: Callable[[], Backward]) -> None:
    report = examine(remade(make))
    assert not report.right
    assert any(says in text for text in report.impure), report.impure
    assert says in as_text(report, "f")


@pytest.mark.verdict
def test_right_but_impure_is_its_own_verdict() -> None:
    assert examine(remade(changes_x)).verdict == "impure"
    stale = examine(remade(never_resets))
    assert stale.verdict == "impure"


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
