"""The kill matrix: which designed problem detects which mistake of the catalogue."""

from dataclasses import dataclass
from functools import cache

from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake
from rnn_torch.elman_by_hand.parity import power
from rnn_torch.elman_by_hand.problems import Shapes, designed


@dataclass(frozen=True)
class KillMatrix:
    """For each mistake, whether each of the problems detects it."""

    problems: list[str]
    rows: list[tuple[Mistake, list[bool]]]

    @property
    def killed(self) -> int:
        """The number of mistakes that at least one problem detects."""
        return sum(any(detected) for _, detected in self.rows)


@cache
def kill_matrix(dtype: str) -> KillMatrix:
    """Test every designed problem against every mistake of the catalogue."""
    problems = designed(Shapes(), dtype)
    detected = [power(problem) for problem in problems]
    rows = [(mistake, [mistake.name in names for names in detected]) for mistake in CATALOGUE]
    return KillMatrix([problem.name for problem in problems], rows)


def as_table(dtype: str) -> str:
    """A Markdown table: mistakes in rows, problems in columns, `x` where one detects the other."""
    matrix = kill_matrix(dtype)
    lines = [
        "| mistake | equation | " + " | ".join(matrix.problems) + " |",
        "|---|---|" + ":-:|" * len(matrix.problems),
    ]
    for mistake, detected in matrix.rows:
        marks = " | ".join("x" if hit else "" for hit in detected)
        lines.append(f"| {mistake.name} | {mistake.equation} | {marks} |")
    lines.append(f"\n{matrix.killed} of {len(matrix.rows)} mistakes are detected ({dtype}).")
    return "\n".join(lines)
