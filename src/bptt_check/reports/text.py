"""The report of an examination as text: one screen for a terminal, or Markdown for a CI job."""

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from bptt_check.candidate.escaping import shown
from bptt_check.commands.terminal import WIDEST, wrapped
from bptt_check.judge.asking import Explanation, Where
from bptt_check.judge.comparison import Close, Entry
from bptt_check.judge.report import Report, unanswered_at
from bptt_check.mending.lines import Mend, folder_of
from bptt_check.reports.panels import Panel, in_words, mark, panels

_MARKUP = re.compile(r"[\\`*_\[\]<>~$|]")
#: Problems shown at most.
_MOST_SHOWN = 4
#: Undetectable mistakes shown at most; equivalent descriptions shown at most.
MOST_BLIND = 8
#: Lines that lead to what is wrong: more are not shown, they narrow nothing.
MOST_LINES = 12
MOST_ALSO = 3
_LONGEST = 2000  # characters of a line to change, which is to be copied
#: The word of each verdict, and a sentence.
VERDICTS = {
    "agrees": ("RIGHT", "{name} agrees with autograd to within rounding"),
    "loses digits": (
        "RIGHT BUT LOSES DIGITS",
        "{name} agrees with autograd to within a measured noise floor, but not to within rounding",
    ),
    "disagrees": ("WRONG", "{name} does not agree with autograd"),
    "approximate": (
        "APPROXIMATE",
        "{name} is close to autograd's gradient, but not to within rounding: "
        "a finite difference, or a lower precision inside?",
    ),
    "impure": ("IMPURE", "{name} gives the right numbers, but it is not a pure function"),
    "cannot tell": ("CANNOT TELL", "{name} is right in all that can be judged, which is not all"),
}


def word(report: Report) -> str:
    """The verdict in a word; of a right pass that returns a part, for which gradients it holds."""
    found = VERDICTS[report.verdict][0]
    if report.right and report.missing:
        found += f" for {', '.join(report.returned)}; not returned: {', '.join(report.missing)}"
    return found


def sentence(report: Report, name: str) -> str:
    """The verdict in a sentence, with the evidence; `name` is escaped by `shown`."""
    truncated = "" if report.window is None else f", window {report.window}"
    problems = f"{report.problems} problem{'s' * (report.problems != 1)}"
    if report.telling != report.problems:
        problems += f", of which {report.telling} can tell"
    worst = f"at worst {report.used:.2g} times what rounding allows"
    return f"{verdict(report, name)} ({problems}, {report.dtype}{truncated}; {worst})"


def verdict(report: Report, name: str) -> str:
    """The verdict in a sentence, without the evidence; `name` is escaped by `shown`."""
    return VERDICTS[report.verdict][1].format(name=shown(name))


def headline(report: Report, name: str) -> str:
    """The word and the sentence."""
    return f"{word(report)}: {sentence(report, name)}"


def in_one_line(report: Report, name: str) -> str:
    """The mistake and its place in time, for the summary line of a test; the verdict without."""
    known = [f"{summary(e)}{e.name}" for e in report.mistakes or ()]
    words = "; ".join(known or report.undecided)
    words = words or VERDICTS[report.verdict][1].removeprefix("{name} ")
    place = f"; {report.where.words}" if report.where else ""
    return f"{shown(name)}: {words}{place}"


def as_text(report: Report, name: str, width: int | None = None) -> str:
    """The whole report: one screen, or one line if it is right.

    Args:
        width: the columns of a terminal, which no line but one to copy exceeds; if left out, prose
            is wrapped to 100 columns, and a right pass's line is not.
    """
    columns, first = width or WIDEST, headline(report, name)
    lines = [first if report.right and width is None else wrapped(first, columns)]
    for paragraph in _paragraphs(report, columns):
        lines += ["", *(line for part in paragraph for line in _as_lines(part, columns))]
    return "\n".join(lines)


def as_markdown(report: Report, name: str) -> str:
    """The same for GitHub: `--markdown >> $GITHUB_STEP_SUMMARY`."""
    parts = [f"### {headline(report, code(name))}"]
    for paragraph in _paragraphs(report):
        parts += [fenced(text) if kind else escaped(text.lstrip()) for kind, text in paragraph]
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """A text of ours, or one that is `shown`, as Markdown that means it literally."""
    return _MARKUP.sub(r"\\\g<0>", text)


def cannot_as_markdown(name: str, why: str) -> str:
    """The reason why something cannot be checked, for GitHub."""
    return f"### CANNOT CHECK {code(name)}\n\n{fenced(wrapped(shown(why), WIDEST))}"


def code(name: str) -> str:
    """A name as inline code of Markdown, which interprets nothing in it."""
    fence, space = "`" * (1 + _backticks(name)), " " * ("`" in name)
    return f"{fence}{space}{shown(name)}{space}{fence}"


def fenced(text: str) -> str:
    """A code block of Markdown; its fence is longer than any in the text."""
    fence = "`" * max(3, 1 + _backticks(text))
    return f"{fence}\n{text}\n{fence}"


def _backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


class _Part(NamedTuple):
    """Some lines of a paragraph; prose if `kind` is empty."""

    kind: Literal["", "table", "quote", "lines", "changes"]
    text: str


def _as_lines(part: _Part, columns: int) -> list[str]:
    """A part as lines for a terminal; those to copy are whole."""
    lines = part.text.splitlines()
    match part.kind:
        case "table":
            return lines
        case "changes":
            return [f"    {line}" for line in lines]
        case "lines":
            return [f"    {cut(line, columns - 4)}" for line in lines]
    return [wrapped(f"  {line}" if part.kind == "quote" else line, columns) for line in lines]


def cut(line: str, most: int) -> str:
    """A line of at most this many characters."""
    return line if len(line) <= most else f"{line[: most - 4]} ..."


def _paragraphs(report: Report, columns: int = WIDEST) -> Iterator[list[_Part]]:
    """The paragraphs below the headline, for this many columns."""
    if said := [_Part("", text) for text in notes(report)]:
        yield said
    if report.right or report.verdict == "cannot tell":
        return
    if report.verdict != "impure":
        factors = (_Part("", factor) for factor in report.factors)
        yield [_Part("table", table(report.worst, columns)), *factors]
    if words := only_at(report):
        yield [_Part("", words)]
    if report.where is not None:
        tables = (_Part("table", text) for text in _matrices(report.where))
        yield [_Part("", f"Where in time: {report.where.words}."), *tables]
    elif report.not_located:
        yield [_Part("", "Where in time: not determined:"), _Part("quote", report.not_located)]
    yield from _mistakes(report)
    if report.mend is not None:
        text = "\n".join(
            f"{place}: {old}\n{' ' * 6}-> {new}" for place, old, new in changed_lines(report)
        )
        yield [_Part("", f"{mend_lead(report.mend)}:"), _Part("changes", text)]
    if words := leads_words(report):
        text = "\n".join(f"{place}: {line}" for place, line in leads(report))
        yield [_Part("", f"Your {words}:"), _Part("lines", text)]
    if report.impure:
        text = "\n".join(f"- {text}" for text in report.impure)
        yield [_Part("", "Not a pure function:"), _Part("quote", text)]
    if report.votes:
        yield [_Part("", f"Is the oracle right? {in_words(list(report.votes))}.")]


def mend_lead(mend: Mend) -> str:
    """What the changed lines do, in words."""
    these = "this line" if len(mend.lines) == 1 else f"these {len(mend.lines)} lines"
    if mend.proved:
        return f"One way to mend it: with {these} changed, the whole check says RIGHT"
    right = _list_of(mend.right)
    but = f"; not {_list_of(mend.left)}" if mend.left else ""
    if mend.one_step:
        of_one = "right at every problem of one step; longer ones need further changes"
        return f"With {these} changed, {of_one}: {right}{but}"
    but = but or "; but the whole check is not RIGHT"
    return f"With {these} changed, right at every problem: {right}{but}"


def _list_of(labels: Sequence[str]) -> str:
    """Labels, some of which have a comma, such as `dU, gate i`."""
    return ("; " if any("," in label for label in labels) else ", ").join(labels)


_NOT_CONTIGUOUS = {"upstream in Fortran order", "upstream expanded"}  # a layer's problems


def only_at(report: Report) -> str:
    """The few problems with wrong answers; empty if they are many, or said to be not finite."""
    if not set(report.only_at) - set(report.not_finite):
        return ""
    names = ", ".join(repr(name) for name in report.only_at)
    words = f"Wrong only at {names}, {_elsewhere(report)}: "
    if _NOT_CONTIGUOUS.issuperset(report.only_at):
        return f"{words}where upstream gradients are not contiguous."
    return f"{words}docs/check.md says what they test."


def leads_words(report: Report) -> str:
    """Which lines lead to what is wrong; empty if it is known which to change, or if it is many."""
    found, is_mended = report.leads, report.mend is not None and report.mend.proved
    if found is None or is_mended or not 0 < len(found.lines) <= MOST_LINES:
        return ""
    wrong = [e.name for e in report.worst if e.name in found.wrong]
    right = [e.name for e in report.worst if e.right]
    but = f", not to {_joined(right, 'or')}" if right else ""
    to = _joined(wrong, "and" if found.to_all else "or")
    return f"lines with values that lead to {to}{but}; one of them may be wrong"


def leads(report: Report) -> list[tuple[str, str]]:
    """The places of these lines, and the lines."""
    assert report.leads is not None
    its = report.leads.lines
    return [(_place(report, line.file, line.place), _copyable(line.text)) for line in its]


def _joined(names: Sequence[str], word: str) -> str:
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last


def _place(report: Report, file: str, place: str) -> str:
    """The place, with the name of the file if it is not the candidate's."""
    return place if report.name.startswith(file) else f"{shown(os.path.basename(file))}, {place}"


def changed_lines(report: Report) -> Iterator[tuple[str, str, str]]:
    """For each line to change its place, how it is, and how it has to be.

    The place names the file, unless the candidate's own is the only one.
    """
    lines = report.mend.lines if report.mend else ()
    files = {line.file for line in lines}
    folder = folder_of(files) if files else ""
    for line in lines:
        own = len(files) == 1 and report.name.startswith(line.file)
        file = "" if own else f"{shown(os.path.relpath(line.file, folder))}, "
        yield f"{file}{line.place}", _copyable(line.before), _copyable(line.after)


def _copyable(line: str) -> str:
    """A line whole; one of thousands of characters, which no one wrote, cut."""
    return shown(cut(line, _LONGEST))


def notes(report: Report) -> Iterator[str]:
    """The sentences below the headline, for any verdict."""
    yield from (f"The gradient apart, {text}." for text in report.training)
    yield from (f"Not decided: {reason}." for reason in report.undecided)
    if report.unanswered and not report.undecided:
        at = unanswered_at(report.unanswered, report.conditions)
        yield f"Not answered, at {at}: {report.unanswered[0].why}."
    if report.lost:
        its = (f"{n} {digits:.1f} (at {problem!r})" for n, digits, problem in report.lost)
        yield f"Decimal digits lost, against the recurrence: {', '.join(its)}."
    if report.missing and not report.right:
        yield f"Not returned, so not checked: {', '.join(report.missing)}."
    if report.unidentified and not report.undecided:
        yield f"Returned, but not identified, so not checked: {', '.join(report.unidentified)}."
    yield from (f"Returned besides: {text}." for text in report.also)
    if report.not_finite:
        yield f"{_not_finite(report)}."
    if report.untold and not report.right:
        yield f"Problems that cannot tell: {_untold(report.untold)}."
    if report.set_globals:
        names = ", ".join(report.set_globals)
        yield f"Not passed, but read from the file's globals, which the check has set: {names}."
    yield from (f"{said}." for said in (report.loss, report.forward) if said)
    if report.approximate:
        yield f"The reference is approximate, and the bound covers that: {report.approximate}."
    if report.measured:
        yield f"Compared to within {report.measured}."
    if report.blind:
        listed, left = "; ".join(report.blind[:MOST_BLIND]), len(report.blind) - MOST_BLIND
        rest = f"; and {left} more" * (left > 0)
        yield f"Mistakes that these sizes cannot detect: {listed}{rest}."
    yield from (f"The verdict stands, but {text}." for text in report.failed)


def _not_finite(report: Report) -> str:
    """Where only the candidate's answer has NaN or infinity."""
    at = _some([repr(name) for name in report.not_finite])
    elsewhere = not any(
        max(used.values()) > 1
        for problem, used in report.by_problem.items()
        if problem not in report.not_finite
    )
    rest = f", and {_elsewhere(report)}" * elsewhere
    return f"It gives NaN or infinity, where autograd's gradient is finite, at {at}{rest}"


def _elsewhere(report: Report) -> str:
    """That the other answers are right, of which there may be none at some problems."""
    return "right where else it answers" if report.unanswered else "right elsewhere"


def _untold(untold: Sequence[tuple[str, str]]) -> str:
    """The problems of each reason."""
    reasons: dict[str, list[str]] = {}
    for problem, why in untold:
        reasons.setdefault(why, []).append(repr(problem))
    return "; ".join(f"{_some(names)} ({why})" for why, names in reasons.items())


def _some(names: Sequence[str]) -> str:
    """The names, of more than four the first ones and how many are left."""
    left = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + f" and {left} more" * (left > 0)


#: The columns of `table` and their widths; the last ones go first where a terminal is narrow.
_COLUMNS = {"worst entry": "<14", "got (yours)": ">14", "autograd": ">14", "error": ">10"}
_COLUMNS |= {"relative": ">10", "ulps": ">10", "allowed": ">10", "problem": ""}
_LESS = ("relative", "ulps", "problem", "allowed")


def table(entries: Sequence[Entry], columns: int = WIDEST) -> str:
    """A row for each gradient: its worst entry, or `right`.

    In less than 100 columns it has the cells that fit.
    """
    cells = {e.name: _cells(e) for e in entries if not e.right}
    left_out = set[str]()
    for name in _LESS if columns < WIDEST else ():
        if max(len(_row(each, left_out)) for each in cells.values()) > columns:
            left_out.add(name)
    rows = [_row({name: name for name in _COLUMNS} | {"problem": "  problem"}, left_out)]
    # The worst entry of a right one is rounding noise and differs between processors.
    rows += [f"{e.name}: right" if e.right else _row(cells[e.name], left_out) for e in entries]
    return "\n".join(rows)


def _cells(e: Entry) -> dict[str, str]:
    index, ulps = ",".join(map(str, e.at)), "-" if e.ulps is None else f"{e.ulps:.2g}"
    numbers = f"{e.got:.6g}", f"{e.expected:.6g}", f"{e.error:.2g}", f"{e.relative:.2g}"
    texts = f"{e.name}[{index}]", *numbers, ulps, f"{2 * e.bound:.2g}", f"  {e.problem}"
    return dict(zip(_COLUMNS, texts, strict=True))


def _row(cells: Mapping[str, str], left_out: Container[str]) -> str:
    widths = _COLUMNS.items()
    return "".join(f"{cells[n]:{width}}" for n, width in widths if n not in left_out)


def _matrices(where: Where) -> Iterator[str]:
    """Tables by loss step (row) and state step (column), the first one with the sums."""
    chosen = [p for p in panels(where) if p.has_wrong] or panels(where)[:1]
    tables = [[*_rows(where, p, [] if n else [*where.sums])] for n, p in enumerate(chosen)]
    columns = "columns: the state's step.   " * bool(where.cells)
    tables[-1].append(f"{columns}{_legend(where, chosen)}")
    yield from map("\n".join, tables)


def _legend(where: Where, chosen: Sequence[Panel]) -> str:
    """What the marks of these panels and of the sums mean."""
    parts = [*where.sums.values(), *(p.used for p in chosen)]
    parts += [row for p in chosen for row in p.finals.values()]
    zero = "   0 wrong, and zero" * any((p.wrong & p.zero).any() for p in chosen)
    unknown = "   ? rounding may exceed it" * any(np.isnan(part).any() for part in parts)
    return f". right   X wrong{zero}{unknown}"


def _rows(where: Where, panel: Panel, sums: Sequence[str]) -> Iterator[str]:
    """The table of a panel, with these sums beside it."""

    def row(head: str, cells: Iterable[str], ends: Iterable[str]) -> str:
        its = (f"{end:>{max(5, len(n) + 1)}}" for n, end in zip(sums, ends, strict=True))
        return f"{head:10}{''.join(f'{c:>5}' for c in cells)} {''.join(its)}".rstrip()

    label, states = panel.label, range(panel.used.shape[1])
    if len(label) >= 10:
        yield f"{label}:"
        label = ""
    yield row(label, (f"t={s + 1}" for s in states), sums)
    for t, (used, zero) in enumerate(zip(panel.used, panel.zero, strict=True)):
        cells = (mark(used[s], zero[s]) if s <= t or used[s] > 1 else "" for s in states)
        yield row(f"loss t={t + 1}", cells, (mark(where.sums[n][t]) for n in sums))
    for name, used in panel.finals.items():
        ends = (mark(where.finals[name][n][0]) for n in sums)
        yield row(shown(name)[:9], map(mark, used), ends)


def summary(e: Explanation) -> str:
    """Which gradients and gates the mistakes explain, if not all; empty if all."""
    if not (e.left or e.one_step):
        return ""
    at = "at problems of one step " if e.one_step else ""
    return f"{at}{_list_of(e.explains)}: "


def lead(report: Report, e: Explanation) -> str:
    """What is said before the mistakes of an explanation."""
    count = len(e.mistakes)
    like = "like" if count == 1 else f"like these {count} mistakes together"
    exactly = "to within the noise of half precision" if report.is_half else "exactly"
    its = summary(e) or "It behaves "
    return f"{its[0].upper() if e.one_step else its[0]}{its[1:]}{exactly} {like}:"


def left(report: Report) -> str:
    """The wrong gradients and gates that are not explained, and where in time each is wrong."""
    labels = report.mistakes[0].left if report.mistakes else ()
    since = [report.where.since(label) if report.where else "" for label in labels]
    said = (n + f" (wrong {its})" * bool(its) for n, its in zip(labels, since, strict=True))
    return f"Not explained: {'; '.join(said)}." if labels else ""


def how_close(close: Close) -> str:
    """How large the errors of an approximate pass are."""
    its = "No error" if close.problems == close.wrong else "there no error"
    few = f"At {close.problems} of the {close.wrong} problems at which it is wrong, "
    least = f"is above {close.error:.1g} times the largest gradient of its problem."
    return f"{few * (close.problems < close.wrong)}{its} {least}"


def _mistakes(report: Report) -> Iterator[list[_Part]]:
    if report.mistakes is None:
        yield [_Part("", f"Which mistake: not determined, {report.not_named}.")]
    elif report.mistakes:
        for e in report.mistakes:
            yield [_Part("", text) for text in _explained(report, e)]
        if words := left(report):
            yield [_Part("", words)]
    elif report.close:
        yield [_Part("", f"Which mistake: none of those known. {how_close(report.close)}")]
    elif report.verdict != "impure":
        words = "None of those known gives these gradients, nor any set that was tried."
        yield [_Part("", f"Which mistake: {words}")]


def _explained(report: Report, e: Explanation) -> Iterator[str]:
    """An explanation, a mistake on a line."""
    count = len(e.mistakes)
    if count > 1:
        yield lead(report, e)
    for number, m in enumerate(e.mistakes, 1):
        yield f"{lead(report, e)} {m.name}" if count == 1 else f"  {number}. {m.name}"
        if m.place:
            yield f"{' ' * (2 if count == 1 else 5)}in the network, {m.place}"
    if e.also:
        rest = f"; and {len(e.also) - MOST_ALSO} more" * (len(e.also) > MOST_ALSO)
        yield f"  equivalent descriptions: {'; '.join(e.also[:MOST_ALSO])}{rest}"
