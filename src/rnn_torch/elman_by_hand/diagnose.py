"""Name the mistake of a backward pass: run the catalogue on the same problems, and compare."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake, planted
from rnn_torch.checker.comparison import agrees
from rnn_torch.checker.subject import Asked, Gradients
from rnn_torch.elman_by_hand.parity import Reference, twice


def name_mistakes(asked: Sequence[Asked]) -> list[tuple[Mistake, ...]]:
    """Every mistake, or else every pair of two, that gives the candidate's answer on all problems.

    More than one means that these problems cannot tell them apart. None: no guess is made.
    """
    # The quick problems first, of these the most telling: most mistakes are ruled out by one.
    ordered = sorted(
        asked, key=lambda a: (a.problem.sizes.time > 10, agrees(a.answer.gradients, a.right))
    )
    if any(a.answer.narrow for a in asked):
        return [tuple(m for m in CATALOGUE if m.name == "lower precision inside")]
    for together in (1, 2):
        found = [m for m in combinations(CATALOGUE, together) if _behaves_like(m, ordered)]
        if found:
            return found
    return []


def _behaves_like(mistakes: tuple[Mistake, ...], asked: Sequence[Asked]) -> bool:
    for problem, answer, right in asked:
        try:
            with np.errstate(all="ignore"):
                imitated = twice(planted(*mistakes), problem)
        except (FloatingPointError, ValueError):  # two that do not go together: they change a line
            return False
        for got, same in zip((answer.gradients, answer.second), imitated, strict=True):
            if not agrees(got, Reference(same, _scaled(right, same))):
                return False
    return True


def _scaled(right: Reference, imitated: Gradients) -> Gradients:
    """The bound, as much larger as the mistake makes the gradient and so its rounding errors."""

    def scale(name: str) -> float:
        largest = float(np.abs(right.gradients[name]).max())
        return max(1.0, float(np.abs(imitated[name]).max()) / max(largest, np.finfo(float).tiny))

    return {name: bound * scale(name) for name, bound in right.bounds.items()}
