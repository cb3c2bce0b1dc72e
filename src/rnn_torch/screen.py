"""The report of an examination in words: one screen for a terminal, or Markdown for a job."""

import textwrap
from collections.abc import Sequence

from rnn_torch.examine import Report
from rnn_torch.locate import Where
from rnn_torch.parity import Entry
from rnn_torch.votes import in_words

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
    """The verdict in a sentence."""
    says = _VERDICTS[report.verdict].format(name=name)
    truncated = "" if report.window is None else f", window {report.window}"
    return (
        f"{says} ({report.problems} problems, {report.dtype}{truncated}; "
        f"at worst {report.used:.2g} times what rounding allows)"
    )


def as_text(report: Report, name: str) -> str:
    """The whole report: one line if it is right, else one screen, prose wrapped to 100 columns."""
    if report.right:
        return headline(report, name)
    lines = []
    for line in [headline(report, name), *_paragraphs(report, "", "")]:
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        prose = len(line) > _WIDTH and "\n" not in line
        lines.append(textwrap.fill(line, _WIDTH, subsequent_indent=indent) if prose else line)
    return "\n".join(lines).rstrip()


def as_markdown(report: Report, name: str) -> str:
    """The same for GitHub: `--markdown >> $GITHUB_STEP_SUMMARY`."""
    body = "\n".join(_paragraphs(report, "```\n", "\n```"))
    return f"### {headline(report, name)}\n{body}".rstrip()


def _paragraphs(report: Report, begin: str, end: str) -> list[str]:
    if report.right:
        return []
    lines = []
    if report.verdict != "impure":
        lines += ["", f"{begin}{table(report.worst)}{end}"]
    lines += [*report.factors]
    if report.only_at:
        names = ", ".join(repr(name) for name in report.only_at)
        lines += [f"Wrong only at {names}, right elsewhere: docs/check.md says what they ask."]
    if report.where is not None:
        lines += ["", f"Where in time: {report.where.words()}."]
        lines += [f"{begin}{_matrix(report.where)}{end}"]
    elif report.not_located:
        lines += [
            "",
            f"Where in time: asked loss by loss, it gives no answer: {report.not_located}.",
        ]
    lines += ["", *_mistake(report)]
    if report.impure:
        lines += ["", "Not a pure function:", *(f"  - {text}" for text in report.impure)]
    if report.votes:
        lines += ["", f"Is the oracle right? {in_words(list(report.votes))}."]
    return lines


def table(entries: Sequence[Entry]) -> str:
    """The worst entries, a row each."""
    head = (
        f"{'worst entry':14}{'got (yours)':>14}{'autograd':>14}{'error':>10}{'relative':>10}"
        f"{'ulps':>10}{'allowed':>10}  problem"
    )
    rows = [head]
    for e in entries:
        mark = "" if e.fraction > 1 else "  (right)"
        index = ",".join(map(str, e.at))
        rows.append(
            f"{f'{e.name}[{index}]':14}{e.got:14.6g}{e.expected:14.6g}{e.error:10.2g}"
            f"{e.relative:10.2g}{e.ulps:10.2g}{2 * e.bound:10.2g}  {e.problem}{mark}"
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


def _mistake(report: Report) -> list[str]:
    if not report.mistakes:
        if report.verdict == "approximate":
            return ["Which mistake: none of the catalogue; the error is small everywhere."]
        if report.verdict == "impure":
            return []
        return ["Which mistake: none of the catalogue, nor two of them together. No guess is made."]
    lines = []
    together = "It behaves exactly like"
    if len(report.mistakes) > 1:
        together = f"These problems cannot tell {len(report.mistakes)} explanations apart. Like"
    for mistakes in report.mistakes[:4]:
        lines.append(f"{together}: {' + '.join(m.name for m in mistakes)}")
        for m in mistakes:
            lines.append(f"  equation {m.equation} of docs/bptt.md: {m.remedy}")
            for right, wrong in m.changes if len(m.changes) == 1 else ():
                lines += [f"    wrong:  {wrong}", f"    right:  {right}"]
        together = "or like"
    return lines
