"""`rnn_torch.testing`: helpers for users' own tests."""

import importlib
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bptt_check.judge.asking import CannotCheck
from bptt_check.networks import designed, stock
from bptt_check.testing import check
from forked import Forked, imported_anew
from judged import SMALL
from problems import Array, drawn
from rnn_numpy.elman_network.textbook import textbook
from rnn_torch import testing
from rnn_torch.testing import Problem, assert_gradient_parity, problems
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Gradients = tuple[Array, Array, Array]
wrong = planted(CATALOGUE[1])  # W not transposed


@given(problems())
def test_the_three_lines_of_the_readme(problem: Problem) -> None:
    assert_gradient_parity(textbook, problem)


@given(problems("float32", corners=False))
def test_the_dtype_can_be_chosen(problem: Problem) -> None:
    assert problem.dtype == "float32"
    assert problem.name != "corner"


def test_a_wrong_pass_turns_the_three_lines_red() -> None:
    @settings(database=None)
    @given(problems("float64"))
    def my_test(problem: Problem) -> None:
        assert_gradient_parity(wrong, problem)

    with pytest.raises(AssertionError) as error:
        my_test()
    # The verdict, the failing problem's own entries, then the screen of the command.
    verdict, _, rest = str(error.value).partition("\n\n")
    assert verdict.startswith(f"{wrong.__name__}: W is not transposed on the path h @ W")
    assert rest.startswith("worst entry")
    assert "It behaves exactly like: W is not transposed" in str(error.value)
    assert "wrong one step back, loss t=2 -> state" in " ".join(str(error.value).split())


def test_without_problems_the_designed_ones_are_used() -> None:
    assert_gradient_parity(textbook)
    assert_gradient_parity(textbook, dtype="float32")


def test_problems_that_detect_too_little_give_a_warning() -> None:
    weak = [drawn(seed, (1, 1, 2, 3, 1)) for seed in range(3)]
    with pytest.warns(UserWarning, match="cannot tell from the truth: no error is passed back"):
        assert_gradient_parity(textbook, weak)
    with pytest.warns(UserWarning, match="W"):
        assert_gradient_parity(wrong, weak)  # so it passes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_gradient_parity(textbook, designed(stock("elman")))


def test_impurity_and_nonsense_are_failures() -> None:
    def mutates(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        result = textbook(x, y, U, W, V)
        y[:] = 0
        return result

    one = drawn(0, (3, 1, 2, 3, 1))
    with pytest.raises(AssertionError, match="y is changed in place"):
        assert_gradient_parity(mutates, one)
    with pytest.raises(CannotCheck, match="must return"):
        assert_gradient_parity(lambda *_: "text", one)


@pytest.mark.verdict
def test_a_window() -> None:
    local = planted(next(m for m in CATALOGUE if m.name == "only the local delta passed on"))
    one = drawn(0, (6, 2, 2, 3, 2))
    assert_gradient_parity(local, one, window=1, shapes="6,2,2,3,2")
    with pytest.raises(AssertionError):
        assert_gradient_parity(local, one, window=2, shapes="6,2,2,3,2")


def known_size_only(x: Array, y: Array, U: Array, W: Array, V: Array) -> Gradients:
    """A pass for x (8, 2), y (8, 1) and 16 hidden units, without a batch axis."""
    assert (x.shape, y.shape, W.shape) == ((8, 2), (8, 1), (16, 16))
    return textbook(x[:, np.newaxis], y[:, np.newaxis], U, W, V)


FLOAT16 = "dtype must be float32 or float64, got 'float16'"
GIVEN = "given must be problems of the network"
BAD: list[tuple[str, Callable[[], Any]]] = [
    (GIVEN, lambda: assert_gradient_parity(textbook, drawn(0, (8, 2, 2, 16, 1)), shapes=SMALL)),
    (
        GIVEN,
        lambda: assert_gradient_parity(
            textbook, drawn(0, (8, 1, 2, 3, 1)), network="tanh", shapes="time=2"
        ),
    ),
    ("shapes must be any, or sizes of ax", lambda: assert_gradient_parity(textbook, shapes="8,2")),
    ("shapes must be any, or sizes of axes", lambda: problems(shapes="8,2")),
    (
        "loss must be squared without a batch axis, got softmax",
        lambda: assert_gradient_parity(known_size_only, shapes="recipe", loss="softmax"),
    ),
    (FLOAT16, lambda: problems("float16")),
    (FLOAT16, lambda: check(textbook, dtype="float16")),
    (
        "require must be returned or all, got 'dU'",
        lambda: assert_gradient_parity(textbook, require="dU"),  # type: ignore[arg-type]
    ),
    ("got 3", lambda: check(textbook, network=3)),  # type: ignore[arg-type]
    (r"python -m bptt_check f\.py:g", lambda: check("f.py:g")),  # type: ignore[arg-type]
    (r"python -m bptt_check f\.py:g", lambda: assert_gradient_parity("f.py:g")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("message", "call"), BAD)
def test_bad_arguments(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(problems(shapes="recipe"))
@settings(max_examples=5)
def test_problems_of_one_size(problem: Problem) -> None:
    assert_gradient_parity(known_size_only, problem, shapes="recipe")


def without_hypothesis() -> int:
    for name in [name for name in sys.modules if name.partition(".")[0] == "hypothesis"]:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    its = imported_anew("rnn_torch.testing")
    its.assert_gradient_parity(importlib.import_module("rnn_numpy").textbook, shapes=SMALL)
    assert callable(its.compare_gradients)
    try:
        its.problems()
    except ModuleNotFoundError as error:
        print(error)
    return 0


def test_without_hypothesis_only_problems_is_missing() -> None:
    out, _ = Forked(without_hypothesis).succeeded()
    assert out == "problems needs hypothesis: pip install hypothesis\n"


FAILING = """
import numpy as np
from tests.passes.elman_mistakes import CATALOGUE, planted
from rnn_numpy.elman_network.textbook import textbook
from bptt_check.networks import random, stock
from rnn_torch.testing import assert_gradient_parity

wrong = planted(CATALOGUE[1])
(one,) = random(stock("elman"), fixed={"time": 3, "batch": 2}, moderate=True)
def broken(x, y, U, W, V):
    raise ValueError("one of mine")
def none(x, y, U, W, V):
    return None

def test_wrong(): assert_gradient_parity(wrong)
def test_wrong_at_one(): assert_gradient_parity(wrong, one)
def test_broken(): assert_gradient_parity(broken)
def test_none(): assert_gradient_parity(none, [one])
"""


def test_a_failure_shows_none_of_our_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "test_mine.py"
    file.write_text(FAILING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    flags = ["-p", "no:cacheprovider", "-p", "no:xdist", f"--rootdir={tmp_path}", str(file)]
    said, _ = Forked(pytest.main, flags).succeeded(1)
    assert "4 failed" in said
    source = str(Path(testing.__file__).parents[1])
    assert source not in said
    # pytest marks a line of source that raises with >: each test's, and the one in `broken`.
    assert sum(line.startswith(">") for line in said.splitlines()) == 5
    assert re.search("^E +ValueError: one of mine$", said, re.MULTILINE)
    # The summary says which mistake and where.
    summary = re.findall("^FAILED test_mine.py::test_wrong(?:_at_one)? - (.*)$", said, re.MULTILINE)
    verdict = (
        "AssertionError: textbook: W is not transposed on the path h @ W -> h_(t-1); dU: right at"
    )
    assert [line.startswith(verdict) for line in summary] == [True, True]
    assert re.search(
        "^E +It behaves exactly like: W is not transposed on the path", said, re.MULTILINE
    )
