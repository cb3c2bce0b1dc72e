"""Compare gradients within what rounding allows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bptt_check.commands.numbers import fraction
from bptt_check.judge.asking import Array, Asked, Expected, Gradients, Right
from bptt_check.networks.network import precision


class Entry(NamedTuple):
    """One entry of a hand-written gradient, compared with autograd's."""

    name: str  # dU, dW, dV
    at: tuple[int, ...]
    problem: str
    got: float
    expected: float
    bound: float  # of one evaluation; two may differ by twice as much
    fraction: float  # error / what rounding allows; wrong above 1
    ulps: float | None  # the error in units in the last place of the expected value; see `in_ulps`

    @property
    def right(self) -> bool:
        """Whether the entry, the worst of its gradient, is within what rounding allows."""
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
    """The error of each entry, as a fraction of what rounding allows."""
    return {n: fraction(g, right.gradients[n], right.bounds[n]) for n, g in got.items()}


def agrees(got: Gradients, right: Right) -> bool:
    """Whether every entry is within what rounding allows."""
    return all(bool((used <= 1).all()) for used in fractions(got, right).values())


class Lost(NamedTuple):
    """The digits that a right answer loses, in decimal places, at the problem where most."""

    name: str
    digits: float
    problem: str


def lost_digits(asked: Sequence[Asked], outputs: Mapping[str, str]) -> list[Lost]:
    """What a layer's answers lose against the recurrence: they are beyond the bound of that."""
    worst: dict[str, Lost] = {}
    for a in asked:
        if not getattr(a.right, "derived", {}):
            continue
        within = Expected(a.right.gradients, a.right.derived)
        for name, used in fractions(a.answer.compared, within).items():
            label, most = outputs.get(name, f"d{name}"), float(used.max(initial=0))
            digits = float(np.log10(most)) if most > 1 else 0.0
            if digits > worst.get(label, Lost("", 0.0, "")).digits:
                worst[label] = Lost(label, digits, a.problem.name)
    return list(worst.values())


#: Why a problem cannot tell.
UNTOLD = "what rounding allows there exceeds every gradient"


def undecidable(gradients: Iterable[str]) -> str:
    """Why a verdict is open: no problem can tell anything of these gradients."""
    return f"no problem can tell a right {' or '.join(gradients)} from a wrong one"


def told(right: Right, names: Iterable[str]) -> set[str]:
    """The gradients among `names` of which a wrong answer can be told from a right one.

    For some entry, what rounding allows must be finite, and at most the gradient's largest entry. A
    gradient that is zero but for rounding is compared with the largest entry of all, times
    sqrt(2^-52); what only underflow allows is nothing.
    """
    largest = {n: np.abs(g).max(initial=0) for n, g in right.gradients.items()}
    eps, tiny = np.finfo(float).eps, np.finfo(float).tiny
    least = max(tiny / eps, eps**0.5 * max(largest.values(), default=0))
    return {n for n in names if (2 * right.bounds[n] <= max(largest[n], least)).any()}


def is_sharp(right: Right, eps: float) -> bool:
    """Whether the bounds are a small part of the largest entry of every gradient that is not 0.

    At most 1e-6 of it in float64, of a machine epsilon `eps`; 0.02 in float32.
    """
    largest = {n: np.abs(g).max(initial=0) for n, g in right.gradients.items()}
    return all(
        bool((right.bounds[n] <= 64 * eps**0.5 * size).all()) for n, size in largest.items() if size
    )


def furthest(got: Gradients, right: Right) -> float:
    """The largest error of an entry, as a fraction of what rounding allows."""
    return max(float(used.max(initial=0)) for used in fractions(got, right).values())


def worst_entries(
    got: Gradients,
    right: Right,
    problem: str,
    dtype: str = "float64",
    outputs: Mapping[str, str] = {},
) -> list[Entry]:
    """For each gradient, the entry with the largest error as a fraction of the bound.

    Args:
        problem, dtype: the problem's name and dtype.
        outputs: the names of a layer's outputs, by their upstream gradients.
    """
    found = []
    for name, used in fractions(got, right).items():
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(used)), used.shape))
        arrays = got[name], right.gradients[name], right.bounds[name], used
        value, expected, bound, share = (float(array[at]) for array in arrays)
        ulps, label = in_ulps(value, expected, dtype), outputs.get(name, f"d{name}")
        found.append(Entry(label, at, problem, value, expected, bound, share, ulps))
    return found


def in_ulps(got: float, expected: float, dtype: str) -> float | None:
    """The error in units in the last place of the expected value in this dtype.

    None if that has no meaning: the expected value is zero, subnormal or too large, or the error
    has more units than the mantissa can count.
    """
    info = precision(dtype)
    if not info.tiny <= abs(expected) <= info.max:
        return None
    ulps = abs(got - expected) / (info.eps * 2.0 ** (math.frexp(expected)[1] - 1))
    return ulps if ulps <= 2 / info.eps else None  # None for NaN, too


class _Compared(NamedTuple):
    """A gradient at one problem."""

    got: Array
    expected: Array
    bound: Array

    @property
    def factor(self) -> float | None:
        """The factor c with `got` = c `expected` to within rounding; None if there is none."""
        square = float((self.expected * self.expected).sum())
        factor = float((self.got * self.expected).sum()) / square if square else 0.0
        return factor if square and self.is_multiple(factor) else None

    def is_multiple(self, factor: float) -> bool:
        """Whether `got` is `factor` times `expected`, to within rounding."""
        distance = np.abs(self.got - factor * self.expected)
        return bool((distance <= 2 * self.bound * max(1.0, abs(factor))).all())


def constant_factors(asked: Sequence[Asked], sizes: Sequence[Mapping[str, int]]) -> list[str]:
    """A sentence for each gradient that is the same multiple of the right one at all problems.

    It has as few digits as agree to within rounding.

    Args:
        sizes: the axis sizes of each problem; the multiple may be 1 / time or 1 / batch.
    """
    found = []
    for name in asked[0].answer.gradients if asked else ():
        several = [
            _Compared(*(p[name] for p in (a.answer.gradients, a.right.gradients, a.right.bounds)))
            for a in asked
        ]
        factors = [f for each in several if (f := each.factor) is not None]
        if not factors or all(each.is_multiple(1.0) for each in several):
            continue
        constant = float(np.median(factors))
        texts = [*(f"{constant:.{digits}g}" for digits in range(1, 18)), repr(constant)]
        valid = (t for t in texts if all(each.is_multiple(float(t)) for each in several))
        if all(each.is_multiple(constant) for each in several):
            text = next(valid)
            its = "zero" if float(text) == 0 else f"{text} times the gradient"
            found.append(f"d{name} is {its}, to within rounding")
        for axis in ("time", "batch"):
            pairs = zip(several, sizes, strict=True)
            if axis in sizes[0] and all(c.is_multiple(1 / size[axis]) for c, size in pairs):
                found.append(f"d{name} is the gradient divided by {axis}, to within rounding")
    return found


class Close(NamedTuple):
    """`error`: the most, of the largest gradient, at `problems` of the `wrong` ones that are."""

    error: float
    problems: int
    wrong: int


def closeness(asked: Sequence[Asked]) -> Close | None:
    """How close the wrong answers are, if they are as close as those of a finite difference.

    Close means an error below the fourth root of the unit roundoff, relative to the largest
    gradient; the best one-sided difference errs by its square root. One problem in four may exceed
    that, but not of a layer: finite differences fail where the loss is large or the step too wide.
    """
    wrong = [a for a in asked if not agrees(a.answer.compared, a.right)]
    errors = [(_relative(a), precision(a.problem.dtype).eps ** 0.25) for a in wrong]
    close = [error for error, most in errors if error <= most]
    far = len(wrong) - len(close)
    if not close or 4 * far > len(wrong) or (far and any(a.answer.outputs for a in wrong)):
        return None
    return Close(max(close), len(close), len(wrong))


def _relative(a: Asked) -> float:
    """The largest error / the largest gradient; NaN if that is 0."""
    got, right = a.answer.compared, a.right.gradients
    largest = max(np.abs(right[n]).max(initial=0) for n in got)
    with np.errstate(all="ignore"):
        return float(max(np.abs(g - right[n]).max(initial=0) for n, g in got.items()) / largest)
