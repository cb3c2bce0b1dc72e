"""Bound how much two correct floating-point evaluations of the network's gradient may differ.

This rounding-error bound decides parity, so that no tolerance is chosen. It is computed beside one
evaluation of equations (1)-(3) and (6)-(11), step by step (a running error analysis: N. Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3). docs/parity.md derives every
line of it. It holds for *every* correct evaluation: any order of summation, with or without fused
multiply-add, gradual or abrupt underflow, any usual form of the sigmoid and its derivative, and
intermediate results in this or a higher precision. It shares no code with
`rnn_numpy.elman_network.model`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.elman_network.running_error import Arithmetic, Rounded, joined


class Bounds(NamedTuple):
    """A bound on the error of one correct evaluation, for each entry of each result.

    Two correct evaluations differ by at most twice as much.
    """

    outputs: Float[np.ndarray, "time batch n_out"]
    states: Float[np.ndarray, "time batch hidden"]
    params: Params
    x: Float[np.ndarray, "time batch n_in"]
    h_0: Float[np.ndarray, "batch hidden"]


@np.errstate(over="ignore", invalid="ignore")
def bounds(
    params: Params,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"] | None = None,
    *,
    upstream: Float[np.ndarray, "time batch n_out"] | None = None,
    h_0: Float[np.ndarray, "batch hidden"] | None = None,
    window: int | None = None,
    params_error: Params | None = None,
) -> Bounds:
    """Bound the rounding error of outputs, states and gradients at this problem, in its own dtype.

    Args:
        params, x, h_0, window: as for `forward` and `bptt`.
        targets: targets of the squared error (4); or
        upstream: an upstream gradient of the outputs. Pass exactly one of the two.
        params_error: bounds on the errors of U, W, V; 0 if left out.

    Raises:
        TypeError, ValueError: as `check_params`; also if both or neither of targets and upstream
            are given.
    """
    check_params(params)
    if (targets is None) == (upstream is None):
        raise ValueError("pass exactly one of targets and upstream, got both or neither")
    rounded = Arithmetic(params.W.dtype)
    U, W, V = map(rounded.given, params, params_error or (0.0, 0.0, 0.0))
    inputs = [rounded.given(x_t) for x_t in x]
    states = [rounded.given(np.zeros((x.shape[1], len(params.W))) if h_0 is None else h_0)]
    for x_t in inputs:
        h_t = rounded.sigmoid(rounded.dot((x_t, U), (states[-1], W)))  # (1), (2)
        states.append(h_t)
    outputs = rounded.sigmoid(rounded.dot((joined(np.stack, states[1:]), V)))  # (3)

    if targets is None:
        from_above = rounded.given(upstream)
    else:
        from_above = rounded.minus(outputs, rounded.given(targets))
    eps = rounded.times(from_above, rounded.slope(outputs))  # (6)
    errors = [eps[t][np.newaxis] for t in range(len(x))]
    deltas, from_first, reach = _deltas(rounded, eps, states[1:], W, V, window)
    # Forward in time (RTRL) the derivatives of the states underflow, and (7) carries their errors.
    forward = reach * 2 * (len(params.W) + 2) * rounded.underflow

    return Bounds(
        outputs=rounded.bound(outputs),
        states=rounded.bound(joined(np.stack, states[1:])),
        params=Params(
            U=rounded.bound(_sum_over_steps(rounded, inputs, deltas)) + forward,  # (9)
            W=rounded.bound(_sum_over_steps(rounded, states[:-1], deltas)) + forward,  # (10)
            V=rounded.bound(_sum_over_steps(rounded, states[1:], errors)),  # (11)
        ),
        x=np.stack([rounded.bound(_sum_over_rows(rounded, delta, U.T)) for delta in deltas]),
        h_0=rounded.bound(_sum_over_rows(rounded, from_first, W.T)),
    )


def _deltas(
    rounded: Arithmetic,
    eps: Rounded,
    states: Sequence[Rounded],
    W: Rounded,
    V: Rounded,
    window: int | None,
) -> tuple[list[Rounded], Rounded, float]:
    """delta_t (8) for every t, (rows, batch, hidden), the rows passed back from h_1 to h_0, a sum.

    The full gradient needs one row; a window keeps the errors of up to window + 1 losses separate.
    The sum is that of abs(dE/dh_t) over all entries.
    """
    deltas: list[Rounded] = []
    reach = 0.0
    for t in reversed(range(len(states))):
        own = (eps[t], V.T)
        if not deltas:
            dE_dh = rounded.dot(own)[np.newaxis]
        elif window is None:
            dE_dh = rounded.dot(own, (deltas[0][0], W.T))[np.newaxis]  # (7)
        else:
            travelled = rounded.dot((deltas[0][:window], W.T))
            dE_dh = joined(np.concatenate, [rounded.dot(own)[np.newaxis], travelled])
        deltas.insert(0, rounded.times(dE_dh, rounded.slope(states[t])))  # (8)
        reach += float(np.where(np.isinf(dE_dh.error), np.inf, dE_dh.magnitude).sum())
    return deltas, deltas[0][:window], reach


def _sum_over_steps(
    rounded: Arithmetic, lefts: Sequence[Rounded], deltas: Sequence[Rounded]
) -> Rounded:
    """The sum over time, batch and rows of left_t^T delta_t: equations (9)-(11)."""
    repeated = [left for left, delta in zip(lefts, deltas, strict=True) for _ in delta.value]
    left, right = joined(np.concatenate, repeated), joined(np.concatenate, deltas)
    return rounded.dot((left.T, right.arranged(lambda a: a.reshape(-1, a.shape[-1]))))


def _sum_over_rows(rounded: Arithmetic, delta: Rounded, weights: Rounded) -> Rounded:
    """The sum over the rows of delta_t of their products with these weights, as one sum."""
    rows, batch, _ = delta.value.shape
    side_by_side = delta.arranged(lambda a: np.moveaxis(a, 0, 1).reshape(batch, -1))
    return rounded.dot((side_by_side, weights.arranged(lambda a: np.tile(a, (rows, 1)))))
