"""The right gradient at a problem of the project's own network; the mistakes a problem detects."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from rnn_numpy.elman_network.mistakes import CATALOGUE, planted
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


def twice(backward: Backward, problem: Problem) -> tuple[Gradients, Gradients]:
    """The gradients of two calls with copies of the same arrays.

    Raises:
        FloatingPointError: an answer is not finite.
    """
    answers = []
    for _ in range(2):
        inputs = [np.copy(array) for array in (problem.x, problem.targets, *problem.params)]
        gradient = backward(*inputs)
        if not all(np.isfinite(array).all() for array in gradient):
            raise FloatingPointError
        answers.append({n: np.array(g, float) for n, g in zip("UWV", gradient, strict=True)})
    return answers[0], answers[1]


def power(problem: Problem, window: int | None = None) -> frozenset[str]:
    """The names of the mistakes of the catalogue that this problem detects."""
    right = reference(problem, window)
    detected = set()
    for mistake in CATALOGUE:
        try:
            with np.errstate(all="ignore"):
                first, second = twice(planted(mistake), problem)
        except FloatingPointError:  # NaN or infinity
            detected.add(mistake.name)
            continue
        if not (agrees(first, right) and agrees(second, right)):
            detected.add(mistake.name)
    return frozenset(detected)


def blind_to(problems: Iterable[Problem], window: int | None = None) -> list[str]:
    """The mistakes of the catalogue that none of these problems detects."""
    detected = frozenset[str]().union(*(power(problem, window) for problem in problems))
    return [mistake.name for mistake in CATALOGUE if mistake.name not in detected]
