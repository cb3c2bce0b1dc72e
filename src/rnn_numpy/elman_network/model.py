"""The Elman RNN and its hand-written back-propagation through time: (1)-(11) of docs/bptt.md.

The input projection and the weight gradients are single matrix products over all steps; only the
recurrence is a loop. There are no biases, other activations or further layers. The same in plain
steps is `rnn_numpy.elman_network.textbook`.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.checks import check_array
from rnn_numpy.elman_network.params import Params, check_params, check_problem


class Trace(NamedTuple):
    """Values that the backward pass needs; `states[t]` is h_t, `states[0]` is h_0."""

    x: Float[np.ndarray, "time batch n_in"]
    states: Float[np.ndarray, "time+1 batch hidden"]
    outputs: Float[np.ndarray, "time batch n_out"]


class Gradients(NamedTuple):
    """Gradients with respect to the arguments of `forward`, each of its argument's shape."""

    params: Params
    x: Float[np.ndarray, "time batch n_in"]
    h_0: Float[np.ndarray, "batch hidden"]


def forward(
    params: Params,
    x: Float[np.ndarray, "time batch n_in"],
    h_0: Float[np.ndarray, "batch hidden"] | None = None,
) -> tuple[Float[np.ndarray, "time batch n_out"], Trace]:
    """Run the network over a batch of sequences: equations (1)-(3).

    Args:
        params: the weights U, W, V.
        x: the inputs, in the weights' dtype.
        h_0: the initial state; zero if left out.

    Returns:
        The outputs o_1 ... o_T, each between 0 and 1, and the trace for the backward pass.

    Raises:
        TypeError: the arguments are not arrays of one dtype.
        ValueError: shapes do not match, or an entry is NaN or infinite.
    """
    first = check_problem(params, x, h_0)
    U, W, V = params
    time, batch, _ = x.shape
    states = np.empty((time + 1, batch, len(W)), U.dtype)
    states[0] = first

    # exp(-z) = inf is right: sigmoid(z) = 0. Weights near the largest number make NaN of z itself.
    with np.errstate(over="ignore", invalid="ignore"):
        states[1:] = (_rows(x) @ U).reshape(time, batch, -1)
        for h_prev, h in pairwise(states):
            h += h_prev @ W  # (1)
            _sigmoid_in_place(h)  # (2)
        outputs = (_rows(states[1:]) @ V).reshape(time, batch, -1)
        _sigmoid_in_place(outputs)  # (3)
    return outputs, Trace(x, states, outputs)


def bptt(
    params: Params,
    trace: Trace,
    targets: Float[np.ndarray, "time batch n_out"],
    *,
    window: int | None = None,
) -> Params:
    """The gradient of the squared error (4) with respect to U, W, V.

    Args:
        params: the weights that `forward` ran with.
        trace: the trace that this `forward` returned.
        targets: the wanted outputs; any real numbers.
        window: number of steps that the error of a loss is passed back (truncated BPTT); None, or
            any value from `time`, gives the full gradient.

    Raises:
        TypeError, ValueError: as `forward`, and for a window that is not an integer >= 0.
    """
    _check_backward(params, trace, window, targets=targets)
    eps, delta, _ = _errors(params, trace, trace.outputs - targets, window)
    return _weight_gradients(trace, eps, delta)


def vjp(
    params: Params,
    trace: Trace,
    upstream: Float[np.ndarray, "time batch n_out"],
    *,
    window: int | None = None,
    into_states: Float[np.ndarray, "time batch hidden"] | None = None,
) -> Gradients:
    """Pull any upstream gradient dE/do_t back to U, W, V, x and h_0 (vector-Jacobian product).

    Arguments and errors are those of `bptt`, which passes the upstream gradient of (4),
    `outputs - targets`. `into_states` is dE/dh_t of what E has of h_t itself, apart from o_t.
    """
    _check_backward(params, trace, window, upstream=upstream, into_states=into_states)
    eps, delta, into_h_0 = _errors(params, trace, upstream, window, into_states)
    into_x = (_rows(delta) @ params.U.T).reshape(trace.x.shape)
    return Gradients(_weight_gradients(trace, eps, delta), x=into_x, h_0=into_h_0)


def squared_error(
    outputs: Float[np.ndarray, "*axes"], targets: Float[np.ndarray, "*axes"]
) -> float:
    """The loss (4), which is differentiated."""
    return float(0.5 * np.square(outputs - targets).sum())


def absolute_error(
    outputs: Float[np.ndarray, "*axes"], targets: Float[np.ndarray, "*axes"]
) -> float:
    """The loss (5), which the recipe reports while it descends (4)."""
    return float(np.abs(outputs - targets).sum())


def _errors(
    params: Params,
    trace: Trace,
    upstream: Float[np.ndarray, "time batch n_out"],
    window: int | None,
    into_states: Float[np.ndarray, "time batch hidden"] | None = None,
) -> tuple[
    Float[np.ndarray, "time batch n_out"],
    Float[np.ndarray, "time batch hidden"],
    Float[np.ndarray, "batch hidden"],
]:
    """The errors eps_t (6) and delta_t (8), and dE/dh_0."""
    _, W, V = params
    h, o = trace.states[1:], trace.outputs
    eps = upstream * o * (1 - o)  # (6)
    from_outputs = (_rows(eps) @ V.T).reshape(h.shape)  # first half of (7)
    if into_states is not None:
        from_outputs += into_states
    slopes = h * (1 - h)
    if window is None or window >= len(h):
        delta, into_h_0 = _deltas(from_outputs, slopes, W)
    else:
        delta, into_h_0 = _truncated_deltas(window, from_outputs, slopes, W)
    return eps, delta, into_h_0


def _deltas(
    from_outputs: Float[np.ndarray, "time batch hidden"],
    slopes: Float[np.ndarray, "time batch hidden"],
    W: Float[np.ndarray, "hidden hidden"],
) -> tuple[Float[np.ndarray, "time batch hidden"], Float[np.ndarray, "batch hidden"]]:
    """delta_t for every t, from the last to the first, and dE/dh_0. Overwrites `from_outputs`."""
    delta = from_outputs
    from_next = np.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        delta[t] += from_next  # (7)
        delta[t] *= slopes[t]  # (8)
        from_next = delta[t] @ W.T
    return delta, from_next


def _truncated_deltas(
    window: int,
    from_outputs: Float[np.ndarray, "time batch hidden"],
    slopes: Float[np.ndarray, "time batch hidden"],
    W: Float[np.ndarray, "hidden hidden"],
) -> tuple[Float[np.ndarray, "time batch hidden"], Float[np.ndarray, "batch hidden"]]:
    """Like `_deltas`, but each loss's error is kept separate and dropped after `window` steps."""
    delta = np.empty_like(from_outputs)
    from_next = np.zeros_like(from_outputs[:0])  # entry j: from the loss j + 1 steps later
    for t in reversed(range(len(delta))):
        by_age = np.concatenate([from_outputs[t : t + 1], from_next])  # (7), a row for each loss
        by_age *= slopes[t]  # (8)
        delta[t] = by_age.sum(axis=0)
        from_next = by_age[:window] @ W.T  # drops the oldest error
    return delta, from_next.sum(axis=0)


def _weight_gradients(
    trace: Trace,
    eps: Float[np.ndarray, "time batch n_out"],
    delta: Float[np.ndarray, "time batch hidden"],
) -> Params:
    x, states = trace.x, trace.states
    return Params(
        U=_rows(x).T @ _rows(delta),  # (9)
        W=_rows(states[:-1]).T @ _rows(delta),  # (10)
        V=_rows(states[1:]).T @ _rows(eps),  # (11)
    )


def _rows(array: Float[np.ndarray, "time batch n"]) -> Float[np.ndarray, "time*batch n"]:
    """Time and batch as one axis, for sums over both as a single matrix product."""
    return array.reshape(-1, array.shape[-1])


def _sigmoid_in_place(z: np.ndarray) -> None:
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def _check_backward(params: Params, trace: Trace, window: int | None, **given: Any) -> None:
    check_params(params)
    time, batch, _ = trace.outputs.shape
    outer, U, W, V = {"time": time, "batch": batch}, *params
    outputs, hidden = {**outer, "n_out": V.shape[1]}, {"hidden": len(W)}
    # The trace of other weights would give a meaningless gradient.
    check_array("trace.x", trace.x, {**outer, "n_in": len(U)}, W.dtype)
    check_array(
        "trace.states", trace.states, {"time+1": time + 1, "batch": batch} | hidden, W.dtype
    )
    check_array("trace.outputs", trace.outputs, outputs, W.dtype)
    for name, array in given.items():
        if name != "into_states":
            check_array(name, array, outputs, W.dtype)
        elif array is not None:
            check_array(name, array, outer | hidden, W.dtype)
    if window is not None and (not isinstance(window, int) or window < 0):
        raise ValueError(f"window must be None or an integer >= 0, got {window!r}")
