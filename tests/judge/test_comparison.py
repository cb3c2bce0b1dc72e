"""Errors in units in the last place: of the problem's dtype, and only where they have a meaning."""

import json

import numpy as np
import pytest

from bptt_check.commands.numbers import finite
from bptt_check.judge.asking import Answer, Asked, Expected
from bptt_check.judge.comparison import Close, closeness, in_ulps, worst_entries
from bptt_check.networks import Problem
from bptt_check.reports.text import table


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_unit_is_that_of_the_problems_dtype(dtype: str) -> None:
    eps = float(np.finfo(dtype).eps)
    assert in_ulps(1 + 3 * eps, 1.0, dtype) == 3
    assert in_ulps(-1.0, -1 - eps, dtype) == 1
    assert in_ulps(1.5, 1.0, dtype) == 0.5 / eps  # as many as a mantissa can count


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("got", [0.3, 1e-30, np.nan, np.inf])
def test_a_count_without_a_meaning_is_not_shown(dtype: str, got: float) -> None:
    info = np.finfo(dtype)
    for expected in (0.0, -0.0, float(info.tiny) / 8, np.nan, np.inf):
        assert in_ulps(got, expected, dtype) is None
    assert in_ulps(got, 1e-37, dtype) is None  # the count exceeds what the mantissa holds
    right = Expected({"U": np.zeros(1)}, {"U": np.full(1, 1e-40)})
    (entry,) = worst_entries({"U": np.array([got])}, right, "here", dtype)
    assert entry.ulps is None
    assert table([entry]).splitlines()[1].split()[-3] == "-"
    document = json.dumps([finite(value) for value in entry._asdict().values()], allow_nan=False)
    assert "null" in document


def test_a_wrong_entry_of_float32_is_counted_in_float32() -> None:
    one = np.ones(1)
    right = Expected({"U": one}, {"U": one * 1e-7})
    (entry,) = worst_entries({"U": one + 1e-3}, right, "here", "float32")
    assert entry.ulps == pytest.approx(1e-3 * 2**23)


def test_what_json_lacks() -> None:
    largest = float(np.finfo(float).max)
    wanted = [largest, -largest, None, 1.5, 3, "a"]
    assert [finite(v) for v in (np.inf, -np.inf, np.nan, 1.5, 3, "a")] == wanted


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        ([1e-6, 4e-6], Close(2e-6, 2, 2)),
        ([1e-6, 1e-6, 4e-6, 1.0], Close(2e-6, 3, 4)),
        ([1e-6, 1e-6, 1.0], None),
        ([1e-6, 1e-6, 4e-6, np.nan], Close(2e-6, 3, 4)),
        ([1.0], None),
    ],
)
def test_errors_are_close_of_the_largest_gradient(errors: list[float], found: Close | None) -> None:
    """One problem in four may be far off, and is then said to be."""
    bounds, right = {"U": np.full(2, 1e-16)}, {"U": np.array([2.0, 0.0])}
    answers = [{"U": right["U"] + [0, error]} for error in (0, *errors)]
    asked = [
        Asked(Problem("", {}, {}), Answer(each, each), Expected(right, bounds)) for each in answers
    ]
    assert closeness(asked) == found
