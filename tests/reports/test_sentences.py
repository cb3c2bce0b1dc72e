"""Every sentence of a report stands exactly where its fields say so, on every face.

`SENTENCES` has the first words of each sentence and the condition for it. Among the reports below
each is said at least once, and left out at least once. That the fields are true is tested with what
computes them (`judge/test_known_verdict.py`, `judge/test_claims_about_time.py`, ...).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bptt_check.judge.asking import Explanation
from bptt_check.judge.report import Condition, Report, Unanswered
from bptt_check.mending.lines import Leads, Line
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_markdown, as_text
from bptt_check.testing import check
from rnn_numpy.elman_network.textbook import textbook
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]


def reports() -> list[Report]:
    right: Any = check(textbook)
    wrong: Any = check(planted(next(m for m in CATALOGUE if m.name == "W not transposed")))
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
        replace(wrong, verdict="approximate", mistakes=(), factors=()),
        replace(wrong, leads=leads, factors=("dW is 2 times the gradient, to within rounding",)),
        replace(wrong, mistakes=(one_mistake._replace(mistakes=2 * one_mistake.mistakes),)),
        replace(wrong, mistakes=(partial, one_mistake._replace(left=("dV",), one_step=True))),
        replace(wrong, forward="Your forward pass differs from the network's: h from step 1 on"),
    ]


def is_wrong(r: Report) -> bool:
    return r.exit_code == 1


def explains_all(e: Explanation) -> bool:
    return not e.left and not e.one_step


def is_partial(e: Explanation) -> bool:
    return bool(e.left) and not e.one_step


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
    "It behaves exactly like": lambda r: any(explains_all(e) for e in r.mistakes or ()),
    "mistakes together:": lambda r: any(len(e.mistakes) > 1 for e in r.mistakes or ()),
    "dW; dU, gate i: exactly like": lambda r: any(is_partial(e) for e in r.mistakes or ()),
    "At problems of one step ": lambda r: any(e.one_step for e in r.mistakes or ()),
    "Not explained: dV": lambda r: any(e.left for e in r.mistakes or ()),
    "None of those known gives": lambda r: r.mistakes == () and r.verdict == "disagrees",
    "Your forward pass differs": lambda r: bool(r.forward),
    "lines with values that lead to": lambda r: r.leads is not None,
    "times the gradient, to within rounding": lambda r: bool(r.factors),
}
#: On the terminal and in Markdown; the page has headings and tables for these.
IN_TEXT: dict[str, Callable[[Report], bool]] = {
    "Wrong only at": lambda r: bool(set(r.only_at) - set(r.not_finite)),
    "right elsewhere: docs": lambda r: (
        bool(set(r.only_at) - set(r.not_finite)) and not r.unanswered
    ),
    "right where else it answers: docs": lambda r: bool(r.only_at) and bool(r.unanswered),
    "Where in time: not determined": lambda r: is_wrong(r) and bool(r.not_located),
    "Which mistake: not determined, a cause": lambda r: is_wrong(r) and r.mistakes is None,
    "Which mistake: none of those known; all": lambda r: r.verdict == "approximate",
    "Is the oracle right?": lambda r: bool(r.votes),
}


def plain(text: str) -> str:
    """The words on one line, without Markdown's or HTML's escapes."""
    for escaped, sign in (("\\", ""), ("&#39;", "'"), ("&#34;", '"')):
        text = text.replace(escaped, sign)
    return " ".join(text.split())


def test_a_sentence_is_said_where_the_fields_say_so() -> None:
    said: dict[str, set[bool]] = {}
    for number, report in enumerate(reports()):
        faces = {"text": as_text(report, "f"), "Markdown": as_markdown(report, "f")}
        page = as_html([("f", report)], report.dtype)
        for words, condition in {**SENTENCES, **IN_TEXT}.items():
            wanted = condition(report)
            on = {**faces, "page": page} if words in SENTENCES else faces
            for face, text in on.items():
                assert (words in plain(text)) == wanted, (words, face, number)
            said.setdefault(words, set()).add(wanted)
    assert {words for words, both in said.items() if len(both) != 2} == set()
