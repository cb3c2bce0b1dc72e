"""What a report says, on every face: text, Markdown, the page, JSON, and in a notebook.

`SENTENCES` has the first words of each sentence and the condition for it. Among the reports below
each is said at least once, and left out at least once. That the fields are true is tested with what
computes them (`judge/test_known_verdict.py`, `judge/test_claims_about_time.py`, ...).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bptt_check.judge.asking import Where
from bptt_check.judge.comparison import Close
from bptt_check.judge.report import SCHEMA, Condition, Report, Unanswered, as_json
from bptt_check.mending.lines import Leads, Line, LineEdit, Mend
from bptt_check.reports.heat_map import heat_map
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_markdown, as_text, changed_lines
from bptt_check.testing import check
from rnn_numpy.elman_network.textbook import textbook
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "list": (list,),
    "texts": (list,),
    "object": (Mapping,),
    "null": (type(None),),
    "true": (bool,),
}
LONG = "delta = " + " + ".join(f"{name} @ weights_of_{name}.T" for name in "abcdefghijkl")


@pytest.fixture(scope="module")
def right() -> Any:
    return check(textbook)


@pytest.fixture(scope="module")
def wrong() -> Any:
    found = check(planted(next(m for m in CATALOGUE if m.name == "W not transposed")))
    worst = tuple(entry._replace(problem="general") for entry in found.worst)
    return replace(found, leads=None, worst=worst)


def reports(right: Any, wrong: Any) -> list[Report]:
    (one_mistake,) = wrong.mistakes
    partial = one_mistake._replace(explains=("dW", "dU, gate i"), left=("dV",))
    one = Unanswered("one batch", {"batch": 1}, "it raises ValueError: no", "ValueError")
    batch = Condition("batch", 1, 3)
    leads = Leads((Line("mine.py", "line 7", "dW = 0"),), to_all=True, wrong=("dW",))
    return [
        right,
        replace(right, missing=("dx",)),
        replace(right, training=("the target c is not the sum of a and b",)),
        replace(right, also=("h is h after the last step",), approximate="softplus is linear"),
        replace(right, verdict="cannot tell", undecided=("a reason",), unanswered=(one,)),
        replace(
            right, blind=("dW is transposed",), measured="a noise floor", failed=("it failed",)
        ),
        replace(right, verdict="impure", impure=("x is changed in place",)),
        replace(right, telling=right.problems - 1, untold=(("long", "its bound is infinite"),)),
        wrong,
        replace(wrong, missing=("dx",), loss="Its own loss is right", leads=None),
        replace(wrong, unanswered=(one,), conditions=(batch,), only_at=("long",)),
        replace(wrong, unidentified=("cache",), set_globals=("W",), only_at=("long",)),
        replace(wrong, not_finite=("long",), only_at=("long",), by_problem={}),
        replace(wrong, not_finite=("long",), mistakes=None, not_named="a cause", votes=()),
        replace(wrong, where=None, not_located="it raises", mistakes=(), untold=(("long", "inf"),)),
        replace(wrong, verdict="approximate", mistakes=(), factors=(), close=Close(1e-6, 3, 3)),
        replace(wrong, verdict="approximate", mistakes=(), factors=(), close=Close(1e-6, 3, 4)),
        replace(wrong, leads=leads, factors=("dW is 2 times the gradient, to within rounding",)),
        replace(wrong, mistakes=(one_mistake._replace(mistakes=2 * one_mistake.mistakes),)),
        replace(wrong, mistakes=(partial, one_mistake._replace(left=("dV",), one_step=True))),
        replace(wrong, forward="Your forward pass differs from the network's: h from step 1 on"),
    ]


def explained(r: Report, partly: bool) -> bool:
    return any(bool(e.left) == partly and not e.one_step for e in r.mistakes or ())


SENTENCES: dict[str, Callable[[Report], bool]] = {
    "agrees with autograd to within rounding": lambda r: r.verdict == "agrees",
    "does not agree with autograd": lambda r: r.verdict == "disagrees",
    "close to autograd's gradient, but not to within": lambda r: r.verdict == "approximate",
    "gives the right numbers, but it is not a pure function": lambda r: r.verdict == "impure",
    "is right in all that can be judged": lambda r: r.verdict == "cannot tell",
    "; not returned: dx": lambda r: r.right and bool(r.missing),
    "of which": lambda r: r.telling != r.problems,
    "Not decided:": lambda r: bool(r.undecided),
    "Not answered, at batch 1:": lambda r: bool(r.unanswered) and not r.undecided,
    "Not returned, so not checked:": lambda r: bool(r.missing) and not r.right,
    "Returned, but not identified": lambda r: bool(r.unidentified),
    "Returned besides:": lambda r: bool(r.also),
    "It gives NaN or infinity": lambda r: bool(r.not_finite),
    "and right elsewhere": lambda r: bool(r.not_finite) and not r.by_problem,
    "Problems that cannot tell:": lambda r: bool(r.untold) and not r.right,
    "Not passed, but read from the file's globals": lambda r: bool(r.set_globals),
    "Its own loss is right": lambda r: bool(r.loss),
    "The reference is approximate": lambda r: bool(r.approximate),
    "Compared to within": lambda r: bool(r.measured),
    "Mistakes that these sizes cannot detect": lambda r: bool(r.blind),
    "The gradient apart, the target c is not": lambda r: bool(r.training),
    "The verdict stands, but": lambda r: bool(r.failed),
    "changed in place": lambda r: bool(r.impure),
    "It behaves exactly like": lambda r: explained(r, partly=False),
    "mistakes together:": lambda r: any(len(e.mistakes) > 1 for e in r.mistakes or ()),
    "dW; dU, gate i: exactly like": lambda r: explained(r, partly=True),
    "At problems of one step ": lambda r: any(e.one_step for e in r.mistakes or ()),
    "Not explained: dV": lambda r: any(e.left for e in r.mistakes or ()),
    "None of those known gives": lambda r: r.mistakes == () and r.verdict == "disagrees",
    "Your forward pass differs": lambda r: bool(r.forward),
    "lines with values that lead to": lambda r: r.leads is not None,
    "times the gradient, to within rounding": lambda r: bool(r.factors),
    "known. No error is above 1e-06 times": lambda r: bool(r.close and r.close.wrong == 3),
    "At 3 of the 4 problems at which": lambda r: bool(r.close and r.close.wrong == 4),
}
#: On the terminal and in Markdown; the page has headings and tables for these.
IN_TEXT: dict[str, Callable[[Report], bool]] = {
    "Wrong only at": lambda r: bool(set(r.only_at) - set(r.not_finite)),
    "right elsewhere: docs": lambda r: (
        bool(set(r.only_at) - set(r.not_finite)) and not r.unanswered
    ),
    "right where else it answers: docs": lambda r: bool(r.only_at) and bool(r.unanswered),
    "Where in time: not determined": lambda r: r.exit_code == 1 and bool(r.not_located),
    "Which mistake: not determined, a cause": lambda r: r.exit_code == 1 and r.mistakes is None,
    "Which mistake: none of those known.": lambda r: r.verdict == "approximate",
    "Is the oracle right?": lambda r: bool(r.votes),
}


def plain(text: str) -> str:
    """The words on one line, without Markdown's or HTML's escapes."""
    for escaped, sign in (("\\", ""), ("&#39;", "'"), ("&#34;", '"')):
        text = text.replace(escaped, sign)
    return " ".join(text.split())


def test_a_sentence_is_said_where_the_fields_say_so(right: Any, wrong: Any) -> None:
    said: dict[str, set[bool]] = {}
    for number, report in enumerate(reports(right, wrong)):
        faces = {"text": as_text(report, "f"), "Markdown": as_markdown(report, "f")}
        page = as_html([("f", report)], report.dtype)
        for words, condition in {**SENTENCES, **IN_TEXT}.items():
            wanted = condition(report)
            on = {**faces, "page": page} if words in SENTENCES else faces
            for face, text in on.items():
                assert (words in plain(text)) == wanted, (words, face, number)
            said.setdefault(words, set()).add(wanted)
    assert {words for words, both in said.items() if len(both) != 2} == set()


def mended(*lines: LineEdit, left: tuple[str, ...] = ()) -> Mend:
    return Mend(lines, ("dU",), left, not left, "")


@pytest.mark.parametrize("width", [60, 72, 80, 99, 100])
def test_no_line_is_wider(right: Any, wrong: Any, width: int) -> None:
    leads = Leads((Line("f.py", "line 7", LONG),), to_all=True, wrong=("dW",))
    fitted = as_text(replace(wrong, leads=leads), "f", width)
    columns = max(width, 10 + 5 * 6 + 11)  # the matrix of six steps
    assert max(map(len, fitted.splitlines())) <= columns
    words = set(as_text(replace(wrong, leads=None), "f", width).split())
    assert words <= set(as_text(wrong, "f").split())  # none is broken
    said = as_text(right, "f", width)
    assert max(map(len, said.splitlines())) <= width
    assert said.split() == as_text(right, "f").split()


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


def test_json_is_as_the_page_says(right: Any, wrong: Any) -> None:
    for report in (right, wrong, replace(wrong, mistakes=None, where=None)):
        document = json.loads(json.dumps(report.as_dict(), allow_nan=False))
        assert document.keys() == ROWS.keys() - {"candidate"}
        for key, value in document.items():
            words = re.findall(r"^\w+|(?<= or )null", ROWS[key])
            assert any(isinstance(value, TYPES[word]) for word in words), key
            if ROWS[key] == "texts":
                assert all(isinstance(each, str) for each in value)
    assert f"| `schema` | number | {SCHEMA} |" in PAGE


def test_what_json_lacks_is_replaced() -> None:
    document = as_json({"a": np.array([np.inf, np.nan, 1.5]), "b": (float("-inf"), None, True)})
    largest = np.finfo(float).max
    assert document == {"a": [largest, None, 1.5], "b": [-largest, None, True]}


def test_a_report_shows_itself(right: Any, wrong: Any) -> None:
    for report, word in ((right, "RIGHT"), (wrong, "WRONG")):
        assert repr(report).startswith(f"{word}: {report.name} ")
        assert "\n" not in repr(report)
        assert str(report) == as_text(report, report.name)
        frame = report._repr_html_()
        before, _, rest = frame.partition('srcdoc="')
        page, _, after = rest.partition('" width=')
        assert before == "<iframe "
        assert after.endswith("</iframe>")
        assert '"' not in page
        assert page.startswith("&lt;!doctype html&gt;")
        assert '<base href="about:srcdoc">' in unescape(page)  # else links leave the page
        assert f"<b>{word}</b>" in unescape(page)


def test_sums_alone_are_shown_and_drawn(wrong: Any, tmp_path: Path) -> None:
    """A pass may return nothing that splits by state step, such as dV alone."""
    sums = {"dV": np.array([0.1, 5.0, np.nan]), "dc": np.zeros(3)}
    report = replace(wrong, where=Where({}, {}, sums))
    for line in ("dV   dc", "loss t=1       .    .", "loss t=2       X    .", "loss t=3       ?"):
        assert line in as_text(report, "f")
    assert "state step" not in as_text(report, "f")
    assert as_html([("f", report)], "float64").count('<td class="is-wrong') == 1
    heat_map(report, "f", tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 0
