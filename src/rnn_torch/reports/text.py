"""The report of an examination in words: one screen for a terminal, or Markdown for a job."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from rnn_numpy.isolation.strangers import shown
from rnn_torch.checker.examine import Report
from rnn_torch.checker.locate import Where
from rnn_torch.checker.parity import Entry
from rnn_torch.checker.votes import in_words

_WIDTH = 100
_VERDICTS = {
    "agrees": "RIGHT: {name} agrees with autograd to within rounding",
    "disagrees": "WRONG: {name} does not agree with autograd",
    "approximate": (
        "APPROXIMATE: {name} is close to autograd's gradient, but not to within rounding: "
        "a finite difference?"
    ),
    "impure": "IMPURE: {name} gives the right numbers, but it is not a pure function",
}


def headline(report: Report, name: str) -> str:
    """The verdict in a sentence; `name` may be anybody's text."""
    says = _VERDICTS[report.verdict].format(name=shown(name))
    truncated = "" if report.window is None else f", window {report.window}"
    problems = f"{report.problems} problem{'s' * (report.problems != 1)}"
    return (
        f"{says} ({problems}, {report.dtype}{truncated}; "
        f"at worst {report.used:.2g} times what rounding allows)"
    )


def as_text(report: Report, name: str) -> str:
    """The whole report: one line if it is right, else one screen, prose wrapped to 100 columns."""
    if report.right:
        return headline(report, name)
    lines = [_wrapped(headline(report, name))]
    for paragraph in _paragraphs(report):
        lines += ["", *(line for part in paragraph for line in _as_lines(part))]
    return "\n".join(lines)


def as_markdown(report: Report, name: str) -> str:
    """The same for GitHub: `--markdown >> $GITHUB_STEP_SUMMARY`."""
    parts = [f"### {headline(report, code(name))}"]
    for paragraph in _paragraphs(report):
        parts += [
            fenced(text, _FENCES[kind]) if kind else text.lstrip() for kind, text in paragraph
        ]
    return "\n\n".join(parts)


def cannot_as_markdown(name: str, why: str) -> str:
    """That something could not be checked, for GitHub."""
    return f"### CANNOT CHECK {code(name)}\n\n{fenced(_wrapped(shown(why)))}"


def code(name: str) -> str:
    """A name within a line of Markdown, where it is only text, whatever it is."""
    fence, space = "`" * (1 + _backticks(name)), " " * ("`" in name)
    return f"{fence}{space}{shown(name)}{space}{fence}"


def fenced(text: str, language: str = "") -> str:
    """A block of Markdown in which this is only text: its fence is longer than any in it."""
    fence = "`" * max(3, 1 + _backticks(text))
    return f"{fence}{language}\n{text}\n{fence}"


def _backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


#: Of any other model.
NOT_ASKED = "the catalogue was not asked; it is of the network of docs/bptt.md"


class _Part(NamedTuple):
    """Some lines of a paragraph: prose if they have no kind."""

    kind: Literal["", "table", "diff", "quote"]
    text: str


_FENCES = {"table": "", "quote": "", "diff": "diff"}
_MARKS = {"-": "    wrong: ", "+": "    right: "}


def _as_lines(part: _Part) -> list[str]:
    """For a terminal."""
    lines = part.text.splitlines()
    if part.kind == "table":
        return lines
    if part.kind == "diff":
        return [_MARKS[line[0]] + line[1:] for line in lines]
    return [_wrapped(f"  {line}" if part.kind == "quote" else line) for line in lines]


def _wrapped(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    # Words stay whole: `shown` has made sure that none of them is a command, not of their parts.
    return textwrap.fill(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _paragraphs(report: Report) -> Iterator[list[_Part]]:
    """What there is to say of a report that is not right."""
    if report.right:
        return
    if report.verdict != "impure":
        factors = (_Part("", factor) for factor in report.factors)
        yield [_Part("table", table(report.worst)), *factors]
    if report.only_at:
        names = ", ".join(repr(name) for name in report.only_at)
        only = f"Wrong only at {names}, right elsewhere: docs/check.md says what they ask."
        yield [_Part("", only)]
    if report.where is not None:
        words = f"Where in time: {report.where.words()}."
        yield [_Part("", words), _Part("table", _matrix(report.where))]
    elif report.not_located:
        words = "Where in time: asked loss by loss, it gives no answer:"
        yield [_Part("", words), _Part("quote", report.not_located)]
    yield from _mistakes(report)
    if report.impure:
        yield [
            _Part("", "Not a pure function:"),
            _Part("quote", "\n".join(f"- {text}" for text in report.impure)),
        ]
    if report.votes:
        yield [_Part("", f"Is the oracle right? {in_words(list(report.votes))}.")]


def table(entries: Sequence[Entry]) -> str:
    """The worst entry of each wrong gradient in a row; of a right one, that it is."""
    rows = [
        f"{'worst entry':14}{'got (yours)':>14}{'autograd':>14}{'error':>10}{'relative':>10}"
        f"{'ulps':>10}{'allowed':>10}  problem"
    ]
    for e in entries:
        if e.right:
            # No more: which of its entries is furthest off, and by how much, is rounding noise,
            # and another processor's another.
            rows.append(f"{e.name}: right")
            continue
        index = ",".join(map(str, e.at))
        rows.append(
            f"{f'{e.name}[{index}]':14}{e.got:14.6g}{e.expected:14.6g}{e.error:10.2g}"
            f"{e.relative:10.2g}{e.ulps:10.2g}{2 * e.bound:10.2g}  {e.problem}"
        )
    return "\n".join(rows)


def _matrix(where: Where) -> str:
    """delta for each loss step (row) and state step (column), and that loss' part of dW and dV."""
    time = len(where.states)
    lines = [
        "delta     " + "".join(f"{f't={s + 1}':>5}" for s in range(time)) + "    dW   dV",
    ]
    for t in range(time):
        cells = ""
        for s in range(time):
            mark = "." if s <= t else ""
            if where.wrong[t, s]:
                mark = "0" if where.zero[t, s] else "X"
            cells += f"{mark:>5}"
        ends = "".join(f"{'X' if v > 1 else '.':>5}" for v in (where.dW[t], where.dV[t]))
        lines.append(f"loss t={t + 1:<3}{cells} {ends}")
    used = "X wrong" + ("   0 wrong, and zero" if (where.wrong & where.zero).any() else "")
    return "\n".join([*lines, f"columns: the state's step.   . right   {used}"])


def _mistakes(report: Report) -> Iterator[list[_Part]]:
    if report.mistakes is None:
        yield [_Part("", f"Which mistake: {NOT_ASKED}.")]
        return
    if not report.mistakes:
        if report.verdict == "approximate":
            words = "Which mistake: none of the catalogue; the error is small everywhere."
            yield [_Part("", words)]
        elif report.verdict != "impure":
            words = "none of the catalogue, nor two of them together. No guess is made."
            yield [_Part("", f"Which mistake: {words}")]
        return
    parts = []
    together = "It behaves exactly like"
    if len(report.mistakes) > 1:
        together = f"These problems cannot tell {len(report.mistakes)} explanations apart. Like"
    for mistakes in report.mistakes[:4]:
        parts.append(_Part("", f"{together}: {' + '.join(m.name for m in mistakes)}"))
        for m in mistakes:
            parts.append(_Part("", f"  equation {m.equation} of docs/bptt.md: {m.remedy}"))
            for right, wrong in m.changes if len(m.changes) == 1 else ():
                parts.append(_Part("diff", f"- {wrong}\n+ {right}"))
        together = "or like"
    yield parts
