"""A report at a terminal: nothing is wider, no word is broken, and a line to copy is whole."""

from dataclasses import replace
from typing import Any

import pytest

from bptt_check.mending.lines import Leads, Line, LineEdit, Mend
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_markdown, as_text, changed_lines
from bptt_check.testing import check
from rnn_numpy.elman_network.textbook import textbook
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
LONG = "delta = " + " + ".join(f"{name} @ weights_of_{name}.T" for name in "abcdefghijkl")


@pytest.fixture(scope="module")
def wrong() -> Any:
    return check(planted(next(m for m in CATALOGUE if m.name == "W not transposed")))


def mended(*lines: LineEdit, left: tuple[str, ...] = ()) -> Mend:
    return Mend(lines, ("dU",), left, not left, "")


@pytest.mark.parametrize("width", [60, 72, 80, 99, 100])
def test_no_line_is_wider(wrong: Any, width: int) -> None:
    leads = Leads((Line("f.py", "line 7", LONG),), to_all=True, wrong=("dW",))
    fitted = as_text(replace(wrong, leads=leads), "f", width)
    columns = max(width, 10 + 5 * 6 + 11)  # the matrix of six steps
    assert max(map(len, fitted.splitlines())) <= columns
    words = set(as_text(replace(wrong, leads=None), "f", width).split())
    assert words <= set(as_text(wrong, "f").split())  # none is broken
    right = as_text(check(textbook), "f", width)
    assert max(map(len, right.splitlines())) <= width
    assert right.split() == as_text(check(textbook), "f").split()


def test_the_columns_of_entries_that_fit(wrong: Any) -> None:
    def heads(width: int) -> list[str]:
        lines = as_text(wrong, "f", width).splitlines()
        return next(line for line in lines if line.startswith("worst entry")).split()

    assert heads(100)[-4:] == ["relative", "ulps", "allowed", "problem"]
    assert heads(80)[-3:] == ["error", "allowed", "problem"]
    assert heads(63)[-2:] == ["error", "allowed"]


@pytest.mark.parametrize("width", [None, 60, 100])
def test_a_line_to_change_is_whole(wrong: Any, width: int | None) -> None:
    report = replace(wrong, mend=mended(LineEdit("f.py", "line 3", LONG, f"{LONG} + m")))
    for face in (as_text(report, "f.py:f", width), as_markdown(report, "f.py:f")):
        assert f"-> {LONG} + m" in [line.strip() for line in face.splitlines()]
    assert f"{LONG} + m<" in as_html([("f.py:f", report)], "float64")


def test_files_are_named_where_they_are_several(wrong: Any) -> None:
    one = LineEdit("/a/f.py", "line 3", "x", "y")
    other = LineEdit("/a/b/g.py", "line 4", "x", "y")

    def places(*lines: LineEdit) -> list[str]:
        report = replace(wrong, name="/a/f.py:f", mend=mended(*lines))
        return [place for place, _, _ in changed_lines(report)]

    assert places(one) == ["line 3"]
    assert places(other) == ["g.py, line 4"]
    assert places(one, other) == ["f.py, line 3", "b/g.py, line 4"]
