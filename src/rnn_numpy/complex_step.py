"""The gradient a third time: one complex evaluation of the loss for every weight, no derivative at all.

W. Squire, G. Trapp: Using complex variables to estimate derivatives of real functions, SIAM Review
40(1), 1998: for a real analytic E, `dE/dw = Im E(w + i s) / s + O(s^2)`. Nothing is subtracted, so
s can be so small (1e-40) that the error term vanishes: the result is right to rounding, which no
finite difference is. Gradients below 1e-260 underflow to 0. It needs equations (1)-(4) only, and shares no code with `rnn_numpy.model`.
"""

import numpy as np
from jaxtyping import Complex, Float

from rnn_numpy.params import Params, check_array, check_params

_STEP = 1e-40


def complex_step(
    params: Params,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    h_0: Float[np.ndarray, "batch hidden"] | None = None,
) -> Params:
    """The gradient of the squared error (4) with respect to U, W, V, in float64 whatever the dtype.

    One run of the network for each weight: for small networks.

    Raises:
        TypeError, ValueError: as `rnn_numpy.forward`.
    """
    check_params(params)
    U, W, V = params
    check_array("x", x, {"time": None, "batch": None, "n_in": len(U)}, U.dtype)
    time, batch, _ = x.shape
    check_array("targets", targets, {"time": time, "batch": batch, "n_out": V.shape[1]}, U.dtype)
    if h_0 is None:
        h_0 = np.zeros((batch, len(W)), U.dtype)
    check_array("h_0", h_0, {"batch": batch, "hidden": len(W)}, U.dtype)

    weights = [array.astype(np.complex128) for array in params]
    x, targets = x.astype(np.float64), targets.astype(np.float64)
    gradients = [np.zeros(array.shape) for array in params]
    for array, gradient in zip(weights, gradients, strict=True):
        for index in np.ndindex(array.shape):
            array[index] += 1j * _STEP
            gradient[index] = _loss(*weights, x, targets, h_0).imag / _STEP
            array[index] = array[index].real
    return Params(*gradients)


def _loss(
    U: Complex[np.ndarray, "n_in hidden"],
    W: Complex[np.ndarray, "hidden hidden"],
    V: Complex[np.ndarray, "hidden n_out"],
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    h_0: Float[np.ndarray, "batch hidden"],
) -> complex:
    h, loss = h_0.astype(np.complex128), 0j
    for x_t, y_t in zip(x, targets, strict=True):
        h = _logistic(x_t @ U + h @ W)
        loss += 0.5 * ((_logistic(h @ V) - y_t) ** 2).sum()
    return complex(loss)


def _logistic(z: Complex[np.ndarray, "batch n"]) -> Complex[np.ndarray, "batch n"]:
    """The sigmoid, continued analytically, without an overflow on either side."""
    negative = z.real < 0
    small = np.exp(np.where(negative, z, -z))
    return np.where(negative, small, 1) / (1 + small)
