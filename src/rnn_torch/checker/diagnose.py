"""Name the mistake of a backward pass: run the catalogue on the same problems, and compare."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake, planted
from rnn_numpy.elman_network.params import Params
from rnn_torch.checker.candidate import Answer, CannotCheck, remade
from rnn_torch.checker.parity import Reference, agrees, as_multiple, constant_factor, is_multiple
from rnn_torch.checker.problems import Problem


class Asked(NamedTuple):
    """A problem, a candidate's answer to it, and what is right."""

    problem: Problem
    answer: Answer
    right: Reference


def name_mistakes(asked: Sequence[Asked]) -> list[tuple[Mistake, ...]]:
    """Every mistake, or else every pair of two, that gives the candidate's answer on all problems.

    More than one means that these problems cannot tell them apart. None: no guess is made.
    """
    # The quick problems first, of these the most telling: most mistakes are ruled out by one.
    ordered = sorted(
        asked, key=lambda a: (a.problem.sizes.time > 10, agrees(a.answer.gradient, a.right))
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
        triples = [[getattr(p, field) for p in (a.answer.gradient, *a.right)] for a in asked]
        factors = [f for triple in triples if (f := constant_factor(*triple)) is not None]
        sizes = [a.problem.sizes for a in asked]
        if not factors or _are_multiples(triples, [1.0] * len(triples)):
            continue
        constant = float(np.median(factors))
        if _are_multiples(triples, [constant] * len(triples)):
            found.append(as_multiple(name, constant, triples))
        for what in ("time", "batch"):
            if _are_multiples(triples, [1 / getattr(s, what) for s in sizes]):
                found.append(f"{name} is the gradient divided by {what}, to within rounding")
    return found


def _are_multiples(triples: Sequence[Sequence[np.ndarray]], factors: Sequence[float]) -> bool:
    """Whether each gradient is that multiple of the expected one, to within rounding."""
    return all(
        is_multiple(got, factor, expected, bound)
        for (got, expected, bound), factor in zip(triples, factors, strict=True)
    )


def is_approximate(asked: Sequence[Asked]) -> bool:
    """Whether the answers are close to right without being right: as a finite difference is.

    Close is a relative error below the fourth root of the unit roundoff; the best one-sided
    difference errs by its square root. A problem in four may be too hard for that: its loss is
    large, or a step far too wide.
    """
    wrong = [a for a in asked if not agrees(a.answer.gradient, a.right)]
    return 4 * sum(not _is_close(*a) for a in wrong) <= len(wrong)


def _is_close(problem: Problem, answer: Answer, right: Reference) -> bool:
    largest = max(float(np.abs(g).max()) for g in right.gradient)
    close = np.finfo(problem.dtype).eps ** 0.25 * largest
    return all(
        bool((np.abs(got - expected) <= close).all())
        for got, expected in zip(answer.gradient, right.gradient, strict=True)
    )
