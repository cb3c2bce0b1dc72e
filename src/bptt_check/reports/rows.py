"""Several reports as a table: for a terminal, as CSV, or as Markdown; a row each."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence

from bptt_check.candidate.escaping import shown
from bptt_check.commands.terminal import WIDEST
from bptt_check.judge.report import Report
from bptt_check.reports.text import VERDICTS, changed_lines, code, cut, escaped

#: The columns of a row, all of them text: docs/teaching.md describes them.
FIELDS = ("candidate", "verdict", "mistake", "where", "lines", "missing", "why", "page")
#: Cells that begin so are formulas for a spreadsheet.
_FORMULA = ("=", "+", "-", "@")


def row(target: str, report: Report | None, why: str = "", page: str = "") -> dict[str, str]:
    """The row of a target with its report, or why it has none."""
    cells = dict.fromkeys(FIELDS, "") | {"candidate": shown(target), "page": page}
    if report is None:
        return cells | {"verdict": "CANNOT CHECK", "why": shown(why)}
    names = (m.name for e in report.mistakes or () for m in e.mistakes)
    proved = report.mend is not None and report.mend.proved
    return cells | {
        "verdict": VERDICTS[report.verdict][0],
        "mistake": "; ".join(names),
        "where": report.where.words if report.where else "",
        "lines": "; ".join(place for place, _, _ in changed_lines(report)) if proved else "",
        "missing": ", ".join(report.missing),
        "why": "; ".join([*report.undecided, *report.impure]),
    }


def as_rows(rows: Sequence[Mapping[str, str]], width: int | None = None) -> str:
    """A line each, in the columns of a terminal, and the sums of the verdicts."""
    names = [each["candidate"] for each in rows]
    if len({name.rpartition(":")[2] for name in names}) == 1:
        names = [name.rpartition(":")[0] for name in names]
    longest = max(map(len, names), default=0)
    lines = []
    for name, each in zip(names, rows, strict=True):
        said = ": ".join(filter(None, (each["lines"], each["mistake"]))) or each["where"]
        line = f"{each['verdict']:12}  {name:{longest}}  {each['why'] or said}".rstrip()
        lines.append(cut(line, width or max(WIDEST, longest + 60)))
    counts = Counter(each["verdict"] for each in rows)
    words = [*(word for word, _ in VERDICTS.values()), "CANNOT CHECK"]
    sums = ", ".join(f"{counts[word]} {word}" for word in words if counts[word])
    return "\n".join([*lines, "", f"{len(rows)} checked: {sums or 'none'}"])


def as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """With a header; without the last line's end."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for each in rows:
        writer.writerow({n: f"'{v}" if v.startswith(_FORMULA) else v for n, v in each.items()})
    return text.getvalue().rstrip("\n")


def as_markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """For GitHub: `--markdown >> $GITHUB_STEP_SUMMARY`."""
    lines = [" | ".join(FIELDS[:-1]), " | ".join(["---"] * len(FIELDS[:-1]))]
    for each in rows:
        name = code(each["candidate"]).replace("|", "\\|")
        lines.append(" | ".join([name, *(escaped(each[n]) for n in FIELDS[1:-1])]))
    return "\n".join(f"| {line} |" for line in lines)
