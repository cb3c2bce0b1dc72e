"""Find a quadratic norm |L_q e| for each class q in which the steps of the network contract.

It starts from the covariance of small errors that are added at each step and slowly forgotten, as
an average over sampled runs. Then gradient descent reduces the largest of the spectral norms of
`L_q' diag(sigmoid') W^T L_q^-1`. Any metric is sound: with a bad one `cover.py` finds no cover.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.textbook import sigmoid
from rnn_numpy.real_proof.histories import Histories, draw_inputs
from rnn_numpy.tasks.targets import Target

STEPS, RUNS = 64, 1_200
#: The first steps from h_0, which are ignored: each happens once, and need not contract.
SETTLED = 6
#: Steps of the descent; transitions with the largest norms, whose gradient it takes; step size.
ITERATIONS, HARDEST, RATE = 300, 2_000, 0.003
#: The descent ends when each sampled step multiplies errors by at most this: a better metric needs
#: fewer sets, but takes longer to find than the further sets take to follow.
ENOUGH = 0.7
#: Factor by which an error is forgotten in a step, in the first metric.
FORGOTTEN = 0.9
#: The certificate has L^T L in multiples of 2^-METRIC_BITS.
METRIC_BITS = 30


class Transitions(NamedTuple):
    """Sampled steps: sigmoid' at each of them, and the classes before and after it."""

    slopes: Float[np.ndarray, "steps hidden"]
    before: Any
    after: Any


def metric(
    params: Params,
    target: Target,
    classes: Histories,
    shorter: Float[np.ndarray, "shorter hidden hidden"] | None = None,
) -> Float[np.ndarray, "classes hidden hidden"]:
    """L_q of every class, scaled so that a radius is about the size of an error in the state.

    `shorter` is the metric of histories shorter by one input, from which to start.
    """
    transitions, L = sample(params, target, classes, np.random.default_rng(0))
    if shorter is not None:
        L = shorter[classes.shorter]
    L = _descend(params.W.astype(np.float64), transitions, L)
    L /= np.median(np.linalg.norm(L, 2, axis=(1, 2)))
    rounded = np.rint(L.swapaxes(1, 2) @ L * 2.0**METRIC_BITS) / 2.0**METRIC_BITS
    return np.linalg.cholesky(rounded).swapaxes(1, 2)


def sample(
    params: Params, target: Target, classes: Histories, rng: np.random.Generator
) -> tuple[Transitions, Float[np.ndarray, "classes hidden hidden"]]:
    """Distinct transitions of sampled runs, and the metric of each class's error covariance."""
    U, W, _ = (array.astype(np.float64) for array in params)
    inputs = draw_inputs(rng, 2**target.operands, STEPS, RUNS)
    driven = target.bits(np.arange(2**target.operands)) @ U
    hidden = len(W)
    h, q = np.zeros((RUNS, hidden)), np.zeros(RUNS, np.int64)
    spread = np.zeros((RUNS, hidden, hidden))
    total, seen = np.zeros((len(classes.task), hidden, hidden)), np.zeros(len(classes.task))
    places = np.arange(len(classes.task))[:, np.newaxis]
    found: list[Transitions] = []
    for t, number in enumerate(inputs):
        h = sigmoid(h @ W + driven[number])
        slopes, after = h * (1 - h), classes.next[q, number]
        jacobian = W * slopes[:, np.newaxis]
        spread = jacobian.swapaxes(1, 2) @ spread @ jacobian / FORGOTTEN**2
        spread += np.eye(hidden) * 1e-2
        if t >= SETTLED:
            found.append(Transitions(slopes, q, after))
            ended = places == after
            total += np.tensordot(ended.astype(float), spread, 1)
            seen += ended.sum(axis=1)
        q = after
    L = np.broadcast_to(np.eye(hidden), total.shape).copy()
    known = seen > 0
    values, vectors = np.linalg.eigh(total[known] / seen[known, np.newaxis, np.newaxis])
    L[known] = (vectors / np.sqrt(values)[:, np.newaxis]) @ vectors.swapaxes(1, 2)
    every = Transitions(*(np.concatenate(column) for column in zip(*found, strict=True)))
    alike = np.column_stack([np.rint(every.slopes * 60), every.before, every.after])
    ordered = np.lexsort(alike.T[::-1])  # much faster than np.unique(alike, axis=0)
    new = np.r_[True, (np.diff(alike[ordered], axis=0) != 0).any(axis=1)]
    first = rng.permutation(ordered[new])[:6_000]
    return Transitions(*(column[first] for column in every)), L


def _descend(
    W: Float[np.ndarray, "hidden hidden"],
    transitions: Transitions,
    L: Float[np.ndarray, "classes hidden hidden"],
) -> Float[np.ndarray, "classes hidden hidden"]:
    """Reduce a soft maximum of the log norms by Adam; return the best metric.

    An update is L <- (1 - G) L, so that L stays invertible. The norms come from power iteration,
    which goes on from the vectors of the last step.
    """
    first, second = np.zeros_like(L), np.zeros((len(L), 1, 1))
    best, least = L, np.inf
    for step in range(ITERATIONS + 1):
        if step % 25 == 0:
            maps = _maps(W, L, transitions)
            squares, vectors = np.linalg.eigh(maps.swapaxes(1, 2) @ maps)
            largest = np.sqrt(squares[:, -1].max())
            if largest < least:
                best, least = L, largest
            if least < ENOUGH:
                break
            hardest = np.argsort(-squares[:, -1])[:HARDEST]
            hard = Transitions(*(column[hardest] for column in transitions))
            right = vectors[hardest, :, -1]
        maps = _maps(W, L, hard)
        for _ in range(3):
            left = (maps @ right[:, :, np.newaxis])[:, :, 0]
            norms = np.linalg.norm(left, axis=1)
            left /= norms[:, np.newaxis]
            right = (left[:, np.newaxis] @ maps)[:, 0]
            right /= np.linalg.norm(right, axis=1)[:, np.newaxis]
        weight = (norms / norms.max()) ** (30 + 120 * step / ITERATIONS)
        weight = (weight / weight.sum())[:, np.newaxis, np.newaxis]
        gradient = _totals(weight * _squared(left), hard.after, len(L))
        gradient -= _totals(weight * _squared(right), hard.before, len(L))
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * (gradient**2).mean(axis=(1, 2), keepdims=True)
        rate = RATE * (1 - step / (ITERATIONS + 1)) / (1 - 0.9 ** (step + 1))
        L = L - rate * first / (np.sqrt(second / (1 - 0.99 ** (step + 1))) + 1e-9) @ L
    return best


def _totals(matrices: Any, q: Any, classes: int) -> Any:
    """The sum of the matrices of each class; much faster than np.add.at."""
    totals = np.zeros((classes, *matrices.shape[1:]))
    ordered = np.argsort(q, kind="stable")
    first = np.flatnonzero(np.diff(q[ordered], prepend=-1))
    totals[q[ordered[first]]] = np.add.reduceat(matrices[ordered], first)
    return totals


def _maps(W: Any, L: Any, steps: Transitions) -> Any:
    """Each step as a linear map from metric to metric; it contracts if its norm is below 1."""
    back = W.T @ np.linalg.inv(L)
    return (L[steps.after] * steps.slopes[:, np.newaxis]) @ back[steps.before]


def _squared(rows: Any) -> Any:
    """The product of each row with itself, as a matrix."""
    return rows[:, :, np.newaxis] * rows[:, np.newaxis]
