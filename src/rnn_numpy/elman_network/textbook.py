"""BPTT as it is written by hand, step by step: equations (1)-(3) and (6)-(11), one line each.

It is the plain version of `rnn_numpy.bptt`; `tests/passes/elman_mistakes.py` changes lines of it.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped

Array = Shaped[np.ndarray, "..."]  # any real dtype, extended precision included
Backward = Callable[[Array, Array, Array, Array, Array], tuple[Array, Array, Array]]


def sigmoid(z: np.ndarray) -> np.ndarray:
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
