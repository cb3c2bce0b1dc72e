"""The one-token changes of a textbook pass: the same every time, each wrong by what is said."""

import inspect
from itertools import islice

import pytest

from benchmarks.trust.one_token import every_change, one_token
from tests.judge import textbook
from tests.judge.stock_problems import first_wrong

pytestmark = pytest.mark.unannotated  # thousands of small calls


def described(name: str) -> list[tuple[int, str]]:
    return [(change.line, change.description) for change in every_change(name)]


def test_they_are_the_same_every_time() -> None:
    assert described("tanh") == described("tanh")


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_they_are_many_and_in_the_lines_of_the_pass(name: str) -> None:
    lines, first = inspect.getsourcelines(getattr(textbook, name))
    found = described(name)
    assert len(found) > 4 * len(lines)
    assert {line - first for line, _ in found} < set(range(len(lines)))


def test_what_they_change() -> None:
    """One of each kind: operator, constant, index, name, transpose, sign, slice, call, +=."""
    found = {change.description for change in every_change("lstm")}
    assert {
        "dy @ V.T + dh_next -> dy @ V.T - dh_next",
        "2 -> 1",
        "s[t] -> s[t - 1]",
        "g -> i",
        "W.T -> W",
        "dh * o[t] -> -dh * o[t]",
        ":H -> H:2 * H",
        "np.tanh(s[t]) -> sigmoid(s[t])",
        "ds += ds_next -> ds = ds_next",
        "reversed(range(T)) -> range(T)",
    } <= found


def test_those_that_are_kept_are_wrong() -> None:
    kept = [*islice(one_token("tanh"), 15)]
    assert len(kept) == 15
    assert all(first_wrong("tanh", change.function) for change in kept)
