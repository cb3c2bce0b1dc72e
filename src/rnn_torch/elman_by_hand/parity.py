"""The right gradient at a problem of the project's own network; the mistakes a problem detects."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake, planted
from rnn_numpy.elman_network.rounding import bounds
from rnn_numpy.elman_network.textbook import Backward
from rnn_torch.checker.comparison import agrees
from rnn_torch.checker.subject import Gradients
from rnn_torch.elman_by_hand.problems import Problem
from rnn_torch.elman_network.gradient import autograd_gradient, truncated_gradient
from rnn_torch.elman_network.model import ElmanRNN


class Reference(NamedTuple):
    """Autograd's gradient at a problem, and the error bound of one correct evaluation."""

    gradients: Gradients
    bounds: Gradients


def reference(problem: Problem, window: int | None = None) -> Reference:
    """Autograd's gradient at a problem, truncated to `window` steps if given, with its bound."""
    params, x, targets, _ = problem
    bound = bounds(params, x, targets, window=window).params
    model = ElmanRNN.from_params(params)
    if window is None or window >= len(x):
        gradient = autograd_gradient(model, x, targets)
    else:
        gradient = truncated_gradient(model, x, targets, window)
    return Reference(gradient._asdict(), bound._asdict())


def called_twice(backward: Backward, problem: Problem) -> Iterator[Gradients]:
    """The gradients of two calls with copies of the same arrays, each when it is asked for.

    Raises:
        FloatingPointError: an answer is not finite.
    """
    for _ in range(2):
        inputs = [np.copy(array) for array in (problem.x, problem.targets, *problem.params)]
        with np.errstate(all="ignore"):
            gradient = backward(*inputs)
        if not all(np.isfinite(array).all() for array in gradient):
            raise FloatingPointError
        yield {n: np.array(g, float) for n, g in zip("UWV", gradient, strict=True)}


def power(problem: Problem, window: int | None = None) -> frozenset[str]:
    """The names of the mistakes of the catalogue that this problem detects."""
    right = reference(problem, window)
    return frozenset(mistake.name for mistake in CATALOGUE if _detects(problem, right, mistake))


def blind_to(problems: Iterable[Problem], window: int | None = None) -> list[str]:
    """The mistakes of the catalogue that none of these problems detects."""
    undetected = list(CATALOGUE)
    for problem in problems:
        right = reference(problem, window)
        undetected = [m for m in undetected if not _detects(problem, right, m)]
    return [mistake.name for mistake in undetected]


def _detects(problem: Problem, right: Reference, mistake: Mistake) -> bool:
    try:
        return not all(agrees(g, right) for g in called_twice(planted(mistake), problem))
    except FloatingPointError:  # NaN or infinity
        return True
