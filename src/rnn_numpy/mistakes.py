"""The catalogue of classic BPTT mistakes: each one line of a textbook backward pass, changed.

`textbook` is BPTT as it is written by hand, step by step: the plain twin of `rnn_numpy.bptt`. A
`Mistake` replaces one of its lines; `planted` gives the resulting function. The tests plant each
of them and demand that the parity tests turn red: the check of the check.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

Array = Shaped[np.ndarray, "..."]  # any real dtype, extended precision included
Backward = Callable[[Array, Array, Array, Array, Array], tuple[Array, Array, Array]]


class Mistake(NamedTuple):
    """A mistake in the backward pass: its name, the equation it breaks, right and wrong line."""

    name: str
    equation: str
    right: str
    wrong: str


def sigmoid(z: Array) -> Array:
    """The logistic function of (2) and (3)."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def textbook(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
    """The gradient of the squared error (4), from h_0 = 0, one step at a time.

    Args:
        x, y: inputs (time, batch, n_in) and targets (time, batch, n_out).
        U, W, V: the weights, (n_in, hidden), (hidden, hidden), (hidden, n_out).

    Returns:
        dU, dW, dV.
    """
    time, batch, hidden = len(x), x.shape[1], len(W)
    z = np.zeros((time, batch, hidden), x.dtype)
    h = np.zeros((time + 1, batch, hidden), x.dtype)  # h[-1] stays zero: the state before step 0
    o = np.zeros_like(y)
    for t in range(time):
        z[t] = x[t] @ U + h[t - 1] @ W
        h[t] = sigmoid(z[t])
        o[t] = sigmoid(h[t] @ V)

    dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
    delta_next = np.zeros((batch, hidden), x.dtype)
    for t in reversed(range(time)):
        eps = (o[t] - y[t]) * o[t] * (1 - o[t])
        dh = eps @ V.T + delta_next @ W.T
        delta = dh * h[t] * (1 - h[t])
        dU += x[t].T @ delta
        dW += h[t - 1].T @ delta
        dV += h[t].T @ eps
        delta_next = delta
    return dU, dW, dV


_BUFFERS = "dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)"
_LOOP = "for t in reversed(range(time)):"
_EPS = "eps = (o[t] - y[t]) * o[t] * (1 - o[t])"
_DH = "dh = eps @ V.T + delta_next @ W.T"
_DELTA = "delta = dh * h[t] * (1 - h[t])"
_DU = "dU += x[t].T @ delta"
_DW = "dW += h[t - 1].T @ delta"
_DV = "dV += h[t].T @ eps"
_NEXT = "delta_next = delta"
_RETURN = "return dU, dW, dV"

CATALOGUE = (
    Mistake("recurrent term dropped", "(7)", _DH, "dh = eps @ V.T"),
    Mistake("W not transposed", "(7)", _DH, "dh = eps @ V.T + delta_next @ W"),
    Mistake("derivative of the pre-activation", "(8)", _DELTA, "delta = dh * z[t] * (1 - z[t])"),
    Mistake(
        "sigmoid applied twice in its derivative",
        "(8)",
        _DELTA,
        "delta = dh * sigmoid(h[t]) * (1 - sigmoid(h[t]))",
    ),
    Mistake(
        "recurrent error not damped by the derivative",
        "(8)",
        _DELTA,
        "delta = eps @ V.T * h[t] * (1 - h[t]) + delta_next @ W.T",
    ),
    Mistake("h_t for h_{t-1} in dW", "(10)", _DW, "dW += h[t].T @ delta"),
    Mistake(
        "h_{-1} wraps round to the last state",
        "(10)",
        "h = np.zeros((time + 1, batch, hidden), x.dtype)",
        "h = np.zeros((time, batch, hidden), x.dtype)",
    ),
    Mistake("dW overwritten, not accumulated", "(10)", _DW, "dW = h[t - 1].T @ delta"),
    Mistake("h_{t-1} for h_t in dV", "(11)", _DV, "dV += h[t - 1].T @ eps"),
    Mistake("factor 2", "(6)", _EPS, "eps = 2 * (o[t] - y[t]) * o[t] * (1 - o[t])"),
    Mistake("mean over time", "(4)", _RETURN, "return dU / time, dW / time, dV / time"),
    Mistake("cross-entropy's delta", "(6)", _EPS, "eps = o[t] - y[t]"),
    Mistake("L1's sign", "(6)", _EPS, "eps = np.sign(o[t] - y[t]) * o[t] * (1 - o[t])"),
    Mistake(
        "stale gradient buffers",
        "(9)-(11)",
        _BUFFERS,
        "dU, dW, dV = buffers.setdefault((U.shape, V.shape, U.dtype), [0 * U, 0 * W, 0 * V])",
    ),
    Mistake("first step skipped", "(9)-(11)", _LOOP, "for t in reversed(range(1, time)):"),
    Mistake("last step skipped", "(9)-(11)", _LOOP, "for t in reversed(range(time - 1)):"),
    Mistake("inputs reversed in time", "(9)", _DU, "dU += x[time - 1 - t].T @ delta"),
    Mistake(
        "only the local delta passed on",
        "(7)",
        _NEXT,
        "delta_next = eps @ V.T * h[t] * (1 - h[t])",
    ),
    Mistake(
        "gradients clipped",
        "(9)-(11)",
        _RETURN,
        "return np.clip(dU, -1, 1), np.clip(dW, -1, 1), np.clip(dV, -1, 1)",
    ),
    Mistake(
        "batch averaged, not summed", "(4)", _RETURN, "return dU / batch, dW / batch, dV / batch"
    ),
)


def planted(*mistakes: Mistake) -> Backward:
    """The textbook backward pass with these mistakes in it.

    Raises:
        ValueError: a mistake whose right line is not, or not just once, in the textbook (any more).
    """
    source = inspect.getsource(textbook)
    for mistake in mistakes:
        if source.count(mistake.right) != 1:
            raise ValueError(
                f"cannot plant {mistake.name!r}: {mistake.right!r} is not in textbook()"
            )
        source = source.replace(mistake.right, mistake.wrong)
    # `buffers` outlives the calls, as a module's or an object's would.
    namespace: dict[str, Any] = {"np": np, "sigmoid": sigmoid, "Array": Array, "buffers": {}}
    exec(compile(source, f"<textbook: {', '.join(m.name for m in mistakes)}>", "exec"), namespace)
    backward: Backward = namespace["textbook"]
    return backward
