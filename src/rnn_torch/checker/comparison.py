"""Compare gradients within what rounding allows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.rounding import fraction
from rnn_torch.checker.subject import Array, Asked, Gradients, Right


class Entry(NamedTuple):
    """One entry of a hand-written gradient beside autograd's."""

    name: str  # dU, dW, dV
    at: tuple[int, ...]
    problem: str
    got: float
    expected: float
    bound: float  # of one evaluation: two may differ by twice that
    fraction: float  # of what rounding allows: above 1 it is wrong
    ulps: float  # units in the last place of the expected value, in the problem's dtype

    @property
    def right(self) -> bool:
        """Whether it is within what rounding allows: then so is all of its gradient."""
        return self.fraction <= 1

    @property
    def error(self) -> float:
        """The absolute error."""
        return abs(self.got - self.expected)

    @property
    def relative(self) -> float:
        """The relative error."""
        return self.error / abs(self.expected) if self.expected else np.inf


def fractions(got: Gradients, right: Right) -> dict[str, Array]:
    """Each entry's distance from what is right, as a fraction of what rounding allows."""
    return {n: fraction(g, right.gradients[n], right.bounds[n]) for n, g in got.items()}


def agrees(got: Gradients, right: Right) -> bool:
    """Whether every entry is within what rounding allows."""
    return all(bool((used <= 1).all()) for used in fractions(got, right).values())


def furthest(got: Gradients, right: Right) -> float:
    """The largest of the fractions."""
    return max(float(used.max(initial=0)) for used in fractions(got, right).values())


def worst_entries(got: Gradients, right: Right, problem: str) -> list[Entry]:
    """For each gradient the entry that is furthest off."""
    return [
        worst_entry(f"d{name}", problem, array, right.gradients[name], right.bounds[name])
        for name, array in got.items()
    ]


def worst_entry(
    name: str,
    problem: str,
    got: Float[np.ndarray, "*axes"],
    expected: Float[np.ndarray, "*axes"],
    bound: Float[np.ndarray, "*axes"],
) -> Entry:
    """The entry of a gradient that is furthest off."""
    used = fraction(got, expected, bound)
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(used)), used.shape))
    one, other = float(got[at]), float(expected[at])
    ulps = abs(one - other) / float(np.spacing(np.abs(expected[at])))
    return Entry(name, at, problem, one, other, float(bound[at]), float(used[at]), ulps)


def constant_factor(
    got: Float[np.ndarray, "*axes"],
    expected: Float[np.ndarray, "*axes"],
    bound: Float[np.ndarray, "*axes"],
) -> float | None:
    """The one number that `got` is times `expected`, to within rounding, if there is one."""
    square = float((expected * expected).sum())
    if square == 0:
        return None
    factor = float((got * expected).sum()) / square
    return factor if is_multiple(got, factor, expected, bound) else None


def is_multiple(
    got: Float[np.ndarray, "*axes"],
    factor: float,
    expected: Float[np.ndarray, "*axes"],
    bound: Float[np.ndarray, "*axes"],
) -> bool:
    """Whether `got` is that many times `expected`, to within rounding."""
    distance = np.abs(got - factor * expected)
    return bool((distance <= 2 * bound * max(1.0, abs(factor))).all())


def as_multiple(name: str, factor: float, found_in: Sequence[Sequence[np.ndarray]]) -> str:
    """A sentence about a `constant_factor`, with as few digits as still hold.

    Args:
        found_in: got, expected and bound of each gradient.
    """
    texts = (f"{factor:.{digits}g}" for digits in range(1, 18))
    held = (t for t in texts if all(is_multiple(got, float(t), *rest) for got, *rest in found_in))
    return f"{name} is {next(held, repr(factor))} times the gradient, to within rounding"


def constant_factors(asked: Sequence[Asked], sizes: Sequence[Mapping[str, int]]) -> list[str]:
    """A sentence for each gradient that is the same multiple of the right one everywhere.

    Args:
        sizes: of the axes of each problem; the multiple may be 1 / time or 1 / batch.
    """
    found = []
    for name in asked[0].answer.gradients:
        triples = [
            [p[name] for p in (a.answer.gradients, a.right.gradients, a.right.bounds)]
            for a in asked
        ]
        factors = [f for triple in triples if (f := constant_factor(*triple)) is not None]
        if not factors or _are_multiples(triples, [1.0] * len(triples)):
            continue
        constant = float(np.median(factors))
        if _are_multiples(triples, [constant] * len(triples)):
            found.append(as_multiple(f"d{name}", constant, triples))
        for what in ("time", "batch"):
            if what in sizes[0] and _are_multiples(triples, [1 / each[what] for each in sizes]):
                found.append(f"d{name} is the gradient divided by {what}, to within rounding")
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
    wrong = [a for a in asked if not agrees(a.answer.gradients, a.right)]
    return 4 * sum(not _is_close(a) for a in wrong) <= len(wrong)


def _is_close(a: Asked) -> bool:
    got, right = a.answer.gradients, a.right.gradients
    largest = max(float(np.abs(right[n]).max(initial=0)) for n in got)
    close = np.finfo(np.dtype(a.problem.dtype)).eps ** 0.25 * largest
    return all(bool((np.abs(g - right[n]) <= close).all()) for n, g in got.items())
