"""The kill matrix: which problem of the designed set sees which mistake of the catalogue."""

from rnn_numpy.mistakes import CATALOGUE
from rnn_torch.parity import power
from rnn_torch.problems import Shapes, designed


def as_table(dtype: str) -> str:
    """A Markdown table, a row for each mistake, a column for each problem; `x` where it is seen."""
    problems = designed(Shapes(), dtype)
    seen = [power(problem) for problem in problems]
    rows = [
        "| mistake | equation | " + " | ".join(p.name for p in problems) + " |",
        "|---|---|" + ":-:|" * len(problems),
    ]
    for m in CATALOGUE:
        marks = " | ".join("x" if m.name in s else "" for s in seen)
        rows.append(f"| {m.name} | {m.equation} | {marks} |")
    killed = sum(any(m.name in s for s in seen) for m in CATALOGUE)
    rows.append(f"\n{killed} of {len(CATALOGUE)} mistakes are seen ({dtype}).")
    return "\n".join(rows)
