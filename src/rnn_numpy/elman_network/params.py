"""The parameters U, W, V of (1) and (3): shapes and initial draw."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.checks import check_array, check_finite

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class Params(NamedTuple):
    """The weights of the network, or arrays of the same shapes: a gradient, an error bound."""

    U: Float[np.ndarray, "n_in hidden"]
    W: Float[np.ndarray, "hidden hidden"]
    V: Float[np.ndarray, "hidden n_out"]


def initial_params(
    rng: np.random.RandomState,
    n_in: int = 2,
    hidden: int = 16,
    n_out: int = 1,
    dtype: np.typing.DTypeLike = np.float64,
) -> Params:
    """Draw U, W, V, in this order, from a standard normal: the recipe's initial weights.

    The draw is made in float64 and then rounded, so that every dtype starts at the same point.
    """
    return Params(
        U=rng.randn(n_in, hidden).astype(dtype),
        W=rng.randn(hidden, hidden).astype(dtype),
        V=rng.randn(hidden, n_out).astype(dtype),
    )


def check_params(params: Params) -> None:
    """Raise unless U, W, V match each other, share one dtype (float32 or float64) and are finite.

    TypeError for another type or dtype, ValueError for shapes and entries.
    """
    for name, array in zip(Params._fields, params, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype not in DTYPES:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name} must be a float32 or float64 NumPy array, got {got}")
    U, W, V = params
    if W.ndim != 2 or W.shape[0] != W.shape[1] or len(W) < 1:
        raise ValueError(f"W must be square (hidden, hidden), got {W.shape}")
    hidden = len(W)
    check_array("U", U, {"n_in": None, "hidden": hidden}, W.dtype)
    check_array("V", V, {"hidden": hidden, "n_out": None}, W.dtype)
    check_finite("W", W)


def check_problem(
    params: Params, x: Any, h_0: Any, targets: Any = None
) -> Float[np.ndarray, "batch hidden"]:
    """Raise as `check_params` unless these fit the weights, too; returns h_0, zero if left out."""
    check_params(params)
    U, W, V = params
    check_array("x", x, {"time": None, "batch": None, "n_in": len(U)}, W.dtype)
    time, batch, _ = x.shape
    if targets is not None:
        axes = {"time": time, "batch": batch, "n_out": V.shape[1]}
        check_array("targets", targets, axes, W.dtype)
    if h_0 is None:
        return np.zeros((batch, len(W)), W.dtype)
    check_array("h_0", h_0, {"batch": batch, "hidden": len(W)}, W.dtype)
    return np.asarray(h_0)
