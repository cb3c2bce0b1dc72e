"""The right gradient at a problem of the project's own network; the mistakes a problem detects."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake, planted
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.rounding import bounds
from rnn_numpy.elman_network.textbook import Backward
from bptt_check.judge.comparison import agrees
from bptt_check.judge.subject import Gradients
from rnn_torch.elman_by_hand.problems import Problem
from rnn_torch.elman_network.model import ElmanRNN, autograd_gradient, squared_error


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
        gradient = _truncated_gradient(model, x, targets, window)
    return Reference(gradient._asdict(), bound._asdict())


def _truncated_gradient(
    model: ElmanRNN,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    window: int,
) -> Params:
    """The gradient of (4) by autograd, the error of each loss passed back `window` steps at most.

    Each loss is computed with the state before its window detached, as is usual in torch; the
    windows of all losses are computed together, as examples of one batch.
    """
    U, W, V = model.U, model.W, model.V
    with torch.no_grad():
        _, states = model(torch.as_tensor(x))
    steps = np.arange(len(x))
    h = torch.cat([torch.zeros_like(states[:1]), states])[np.maximum(steps - window, 0)]
    for back in reversed(range(window + 1)):
        begun = torch.as_tensor(steps >= back)[:, None, None]
        x_t = torch.as_tensor(x[np.maximum(steps - back, 0)])
        h = torch.where(begun, torch.sigmoid(x_t @ U + h @ W), h)
    loss = squared_error(torch.sigmoid(h @ V), torch.as_tensor(targets))
    return Params(*(g.numpy() for g in torch.autograd.grad(loss, [U, W, V])))


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
