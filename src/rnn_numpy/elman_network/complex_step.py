"""The gradient by complex step: one complex evaluation of the loss per weight, no derivative.

W. Squire, G. Trapp: Using complex variables to estimate derivatives of real functions, SIAM Review
40(1), 1998: for a real analytic E, `dE/dw = Im E(w + i s) / s + O(s^2)`. Nothing is subtracted, so
s can be so small (1e-40) that the error term vanishes: unlike a finite difference, the result is
right to rounding. It needs equations (1)-(4) only, and shares no code with
`rnn_numpy.elman_network.model`.

NumPy's widest complex type is used: with x86's 80-bit reals nothing under- or overflows; with
64-bit reals, gradients below 1e-260 underflow to 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from rnn_numpy.elman_network.params import Params, check_problem

_STEP = 1e-40


def complex_step(
    params: Params,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    h_0: Float[np.ndarray, "batch hidden"] | None = None,
) -> Params:
    """The gradient of the squared error (4) with respect to U, W, V, in float64 for any dtype.

    It runs the network once for each weight, so it suits small networks only.

    Raises:
        TypeError, ValueError: as `rnn_numpy.forward`.
    """
    h_0 = check_problem(params, x, h_0, targets)
    weights = [array.astype(np.clongdouble) for array in params]
    x, targets = x.astype(np.longdouble), targets.astype(np.longdouble)
    gradients: list[Any] = [np.zeros(array.shape) for array in params]
    for which, gradient in enumerate(gradients):
        columns = gradient.shape[1]
        for row in range(len(gradient)):
            # One network for each weight of a row, on a leading axis.
            moved = np.repeat(weights[which][np.newaxis], columns, axis=0)
            moved[range(columns), row, range(columns)] += 1j * _STEP
            networks = [*weights[:which], moved, *weights[which + 1 :]]
            gradient[row] = _slopes(networks, x, targets, h_0)
    return Params(*gradients)


def _slopes(
    weights: Sequence[Shaped[np.ndarray, "..."]],
    x: Shaped[np.ndarray, "time batch n_in"],
    targets: Shaped[np.ndarray, "time batch n_out"],
    h_0: Float[np.ndarray, "batch hidden"],
) -> Float[np.ndarray, " networks"]:
    """The derivative of (4) along the imaginary part of the weights, which is _STEP long."""
    U, W, V = weights
    h, losses = h_0.astype(np.clongdouble), np.clongdouble(0)
    for x_t, y_t in zip(x, targets, strict=True):
        h = _logistic(x_t @ U + h @ W)
        losses = losses + 0.5 * ((_logistic(h @ V) - y_t) ** 2).sum(axis=(-2, -1))
    return np.asarray(losses.imag / _STEP, np.float64)


def _logistic(z: Shaped[np.ndarray, "*axes"]) -> Shaped[np.ndarray, "*axes"]:
    """The sigmoid of complex numbers, without overflow."""
    negative = z.real < 0
    small = np.exp(np.where(negative, z, -z))
    return np.where(negative, small, 1) / (1 + small)
