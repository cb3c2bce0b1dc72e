"""Name the mistake of a backward pass: run the catalogue on the same problems, and compare."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake, planted
from bptt_check.judge.comparison import agrees
from bptt_check.judge.subject import Asked, Gradients
from rnn_torch.elman_by_hand.parity import Reference, called_twice


def name_mistakes(asked: Sequence[Asked]) -> list[tuple[Mistake, ...]]:
    """The mistakes, else the pairs of mistakes, that give the candidate's answers to all problems.

    These problems cannot distinguish several results. The list is empty if nothing fits.
    """
    # Short problems first, of these the ones answered wrongly: one rules out most mistakes.
    ordered = sorted(
        asked,
        key=lambda a: (
            a.problem.sizes.time > 10,
            agrees(a.answer.gradients, a.right),
            a.problem.sizes.time,
        ),
    )
    if any(a.answer.narrow for a in asked):
        return [tuple(m for m in CATALOGUE if m.name == "lower precision inside")]
    for count in (1, 2):
        found = [m for m in combinations(CATALOGUE, count) if _behaves_like(m, ordered)]
        if found:
            return found
    return []


def _behaves_like(mistakes: tuple[Mistake, ...], asked: Sequence[Asked]) -> bool:
    try:
        for problem, answer, right in asked:
            imitations = called_twice(planted(*mistakes), problem)
            for got, imitation in zip((answer.gradients, answer.second), imitations, strict=True):
                if not agrees(got, Reference(imitation, _scaled(right, imitation))):
                    return False
    except (FloatingPointError, ValueError):  # two mistakes that change the same line
        return False
    return True


def _scaled(right: Reference, imitation: Gradients) -> Gradients:
    """The bound, scaled by the factor by which the mistake enlarges the gradient."""
    scaled = {}
    for name, bound in right.bounds.items():
        largest = max(float(np.abs(right.gradients[name]).max()), np.finfo(float).tiny)
        scaled[name] = bound * max(1.0, float(np.abs(imitation[name]).max()) / largest)
    return scaled
