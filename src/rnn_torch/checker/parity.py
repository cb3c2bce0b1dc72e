"""Compare a hand-written gradient with autograd's, within the bound of `rounding.py`."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.mistakes import CATALOGUE, planted
from rnn_numpy.elman_network.model import bptt, forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.rounding import bounds, fraction
from rnn_torch.checker.candidate import Answer, CannotCheck, in_this_process
from rnn_torch.checker.problems import Problem
from rnn_torch.elman_network.gradient import autograd_gradient, truncated_gradient
from rnn_torch.elman_network.model import ElmanRNN


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


class Reference(NamedTuple):
    """What is right at a problem: autograd's gradient, and the bound of a correct evaluation."""

    gradient: Params
    bound: Params


def reference(problem: Problem, window: int | None = None) -> Reference:
    """Autograd's gradient at a problem, truncated to `window` if that is given."""
    params, x, targets, _ = problem
    allowed = bounds(params, x, targets, window=window).params
    model = ElmanRNN.from_params(params)
    if window is None or window >= len(x):
        return Reference(autograd_gradient(model, x, targets), allowed)
    return Reference(truncated_gradient(model, x, targets, window), allowed)


def fractions(gradient: Params, right: Reference) -> Params:
    """Each entry's distance from autograd's as a fraction of what rounding allows."""
    return Params(*map(fraction, gradient, right.gradient, right.bound))


def worst_entries(answer: Answer, right: Reference, problem: Problem) -> list[Entry]:
    """For each of dU, dW, dV the entry that is furthest off."""
    names = ("dU", "dW", "dV")
    return [
        worst_entry(name, problem.name, *arrays)
        for name, *arrays in zip(names, answer.gradient, *right, strict=True)
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


def agrees(gradient: Params, right: Reference) -> bool:
    """Whether every entry is within what rounding allows."""
    return all(bool((array <= 1).all()) for array in fractions(gradient, right))


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


def power(problem: Problem, window: int | None = None) -> frozenset[str]:
    """The names of the catalogued mistakes that this problem can tell from the truth."""
    right = reference(problem, window)
    seen = set()
    for mistake in CATALOGUE:
        try:
            with np.errstate(all="ignore"):
                answer = in_this_process(planted(mistake))(problem)
        except CannotCheck:  # NaN or infinity
            seen.add(mistake.name)
            continue
        if not (agrees(answer.gradient, right) and agrees(answer.second, right)):
            seen.add(mistake.name)
    return frozenset(seen)


def blind_to(problems: Iterable[Problem], window: int | None = None) -> list[str]:
    """The catalogued mistakes that none of these problems can tell from the truth."""
    seen = frozenset[str]().union(*(power(problem, window) for problem in problems))
    return [mistake.name for mistake in CATALOGUE if mistake.name not in seen]


def gradient_parity(
    model: ElmanRNN,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    hand_written: Params | None = None,
) -> float | None:
    """How far a hand-written gradient is from autograd's, at this model and problem.

    Args:
        model: whose weights are meant; the autograd of a plain `ElmanRNN` judges, whatever it is.
        x, targets: the problem.
        hand_written: the gradient to judge; the one of `rnn_numpy.bptt` if left out.

    Returns:
        The worst entry's distance as a fraction of what rounding allows; above 1 one is wrong.
        None if nothing can tell right from wrong: every entry is smaller than its rounding error,
        or the forward pass itself overflows.
    """
    params = model.to_params()
    outputs, trace = forward(params, x)
    if not np.isfinite(outputs).all():
        return None
    if hand_written is None:
        hand_written = bptt(params, trace, targets)
    plain = ElmanRNN.from_params(params, device=model.W.device)
    right = Reference(autograd_gradient(plain, x, targets), bounds(params, x, targets).params)
    worst = max(float(f.max()) for f in fractions(hand_written, right))
    blind = all((np.abs(e) <= bound).all() for e, bound in zip(*right, strict=True))
    return None if blind and worst <= 1 else worst
