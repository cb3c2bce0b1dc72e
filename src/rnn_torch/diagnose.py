"""Which mistake a backward pass makes: the catalogue, run on the same problems."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rnn_numpy.mistakes import CATALOGUE, Mistake, planted
from rnn_numpy.params import Params
from rnn_torch.candidate import Answer, CannotCheck, remade
from rnn_torch.parity import Reference, agrees, constant_factor
from rnn_torch.problems import Problem, Sizes


class Asked(NamedTuple):
    """A problem, a candidate's answer to it, and what is right."""

    problem: Problem
    answer: Answer
    right: Reference


def name_mistakes(asked: Sequence[Asked]) -> list[tuple[Mistake, ...]]:
    """Every mistake, or else every pair of two, that gives the candidate's answer on all problems.

    More than one means that these problems cannot tell them apart. None: no guess is made.
    """
    # The most telling problems first: most mistakes are ruled out by one.
    ordered = sorted(asked, key=lambda a: agrees(a.answer.gradient, a.right))
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
                imitated = remade(lambda: planted(*mistakes))(problem)
        except (CannotCheck, ValueError):  # two that do not go together: they change the same line
            return False
        for got, same in ((answer.gradient, imitated.gradient), (answer.second, imitated.second)):
            if not agrees(got, Reference(same, _scaled(right, same))):
                return False
    return True


def _scaled(right: Reference, imitated: Params) -> Params:
    """The bound, as much larger as the mistake makes the gradient and so its rounding errors."""
    scales = (
        max(1.0, float(np.abs(i).max()) / max(float(np.abs(g).max()), np.finfo(float).tiny))
        for g, i in zip(right.gradient, imitated, strict=True)
    )
    return Params(*(bound * scale for bound, scale in zip(right.bound, scales, strict=True)))


def constant_factors(asked: Sequence[Asked]) -> list[str]:
    """A sentence for each of dU, dW, dV that is the same multiple of the gradient everywhere."""
    found = []
    for name, field in (("dU", "U"), ("dW", "W"), ("dV", "V")):
        factors: list[float] = []
        sizes = []
        for problem, answer, right in asked:
            got, expected, bound = (getattr(p, field) for p in (answer.gradient, *right))
            factor = constant_factor(got, expected, bound)
            if factor is not None:
                factors.append(factor)
                sizes.append(problem.sizes)
            elif expected.any() or got.any():  # 0 is any multiple of 0
                break
        else:
            found += _sentence(name, np.array(factors), sizes)
    return found


def _sentence(name: str, factors: np.ndarray, sizes: list[Sizes]) -> list[str]:
    # Rounding moves a factor by far less than this; a coincidence of sizes does not come as close.
    def all_equal(numbers: np.ndarray, number: float) -> bool:
        return bool(np.abs(numbers - number).max(initial=0) <= 1e-3 * abs(number))

    if len(factors) == 0 or all_equal(factors, 1):
        return []
    if all_equal(factors, factors[0]):
        return [f"{name} is exactly {factors[0]:.3f} times the gradient"]
    divisors = {"time": [s.time for s in sizes], "batch": [s.batch for s in sizes]}
    return [
        f"{name} is exactly the gradient divided by {what}"
        for what, numbers in divisors.items()
        if all_equal(factors * numbers, 1)
    ]


def is_approximate(asked: Sequence[Asked]) -> bool:
    """Whether every answer is close to right without being right: as a finite difference is.

    Close is a relative error below the fourth root of the unit roundoff; the best one-sided
    difference errs by its square root.
    """
    for problem, answer, right in asked:
        largest = max(float(np.abs(g).max()) for g in right.gradient)
        close = np.finfo(problem.dtype).eps ** 0.25 * largest
        for got, expected in zip(answer.gradient, right.gradient, strict=True):
            if np.abs(got - expected).max() > close:
                return False
    return True
