"""The kill matrix: which designed problem detects which mistake of the catalogue."""

from dataclasses import dataclass
from functools import cache

from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake
from rnn_torch.elman_by_hand.parity import power
from rnn_torch.elman_by_hand.problems import Shapes, designed


@dataclass(frozen=True)
class KillMatrix:
    """For each mistake, whether each of the problems sees it."""

    problems: list[str]
    rows: list[tuple[Mistake, list[bool]]]

    @property
    def killed(self) -> int:
        """How many mistakes are seen by one problem at least."""
        return sum(any(seen) for _, seen in self.rows)


@cache
def kill_matrix(dtype: str) -> KillMatrix:
    """Put every catalogued mistake to every designed problem."""
    problems = designed(Shapes(), dtype)
    seen = [power(problem) for problem in problems]
    rows = [(mistake, [mistake.name in some for some in seen]) for mistake in CATALOGUE]
    return KillMatrix([problem.name for problem in problems], rows)


def as_table(dtype: str) -> str:
    """A Markdown table, a row for each mistake, a column for each problem; `x` where it is seen."""
    matrix = kill_matrix(dtype)
    lines = [
        "| mistake | equation | " + " | ".join(matrix.problems) + " |",
        "|---|---|" + ":-:|" * len(matrix.problems),
    ]
    for mistake, seen in matrix.rows:
        marks = " | ".join("x" if yes else "" for yes in seen)
        lines.append(f"| {mistake.name} | {mistake.equation} | {marks} |")
    lines.append(f"\n{matrix.killed} of {len(matrix.rows)} mistakes are seen ({dtype}).")
    return "\n".join(lines)
