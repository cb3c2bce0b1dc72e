"""The parameters U, W, V of (1) and (3): shapes, initial draw, checks at the public boundary."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
#: float32 holds multiples of 2^-16 between 0 and 1 with bits to spare.
MOST_STATE_BITS = 16


class Params(NamedTuple):
    """The weights of the network, or anything shaped like them: a gradient, an error bound."""

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


def check_array(
    name: str, array: Any, axes: Mapping[str, int | None], dtype: np.dtype[Any]
) -> None:
    """Raise unless `array` is a finite NumPy array of this dtype with these axes.

    `axes` maps each axis' name to its size; None accepts any size of at least 1.

    Raises:
        TypeError: not a NumPy array, or another dtype.
        ValueError: another shape, or a NaN or infinity inside.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    check_shape(name, array.shape, axes)
    if array.dtype != dtype:
        raise TypeError(
            f"{name} must be {dtype} like the weights, got {array.dtype}: "
            f"pass {name}.astype(np.{dtype})?"
        )
    check_finite(name, array)


def check_shape(name: str, shape: tuple[int, ...], axes: Mapping[str, int | None]) -> None:
    """Raise ValueError unless `shape` fits `axes` (name -> size, None: any size of at least 1)."""
    sizes = tuple(axes.values())
    if _fits(shape, sizes):
        return
    wanted = ", ".join(axis if size is None else f"{axis}={size}" for axis, size in axes.items())
    remedy = ""
    if len(sizes) == 2 and _fits(shape[::-1], sizes):
        remedy = f": pass {name}.T?"
    elif len(sizes) == 3 and len(shape) == 2 and _fits((shape[0], 1, shape[1]), sizes):
        remedy = f": add the batch axis with {name}[:, None, :]?"
    elif 0 in shape:
        remedy = ": every axis needs at least one entry"
    raise ValueError(f"{name} must be ({wanted}), got {shape}{remedy}")


def check_finite(name: str, array: Float[np.ndarray, "..."]) -> None:
    """Raise ValueError, naming the first bad entry, if `array` holds a NaN or an infinity."""
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, got {array[index]} at {list(index)}")


def check_params(params: Params) -> None:
    """Raise unless U, W, V fit each other, share one dtype (float32 or float64) and are finite.

    Raises:
        TypeError: not arrays, not floating point, or of different dtypes.
        ValueError: shapes that do not fit, or a NaN or infinity inside.
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


def _fits(shape: tuple[int, ...], sizes: tuple[int | None, ...]) -> bool:
    return len(shape) == len(sizes) and all(
        got >= 1 and size in (None, got) for got, size in zip(shape, sizes, strict=True)
    )


def check_state_bits(state_bits: int) -> None:
    """Raise unless the number of bits of a rounded state is an integer from 1 to 16."""
    if isinstance(state_bits, bool) or not isinstance(state_bits, int):
        raise TypeError(f"state_bits must be an integer or None, got {state_bits!r}")
    if not 1 <= state_bits <= MOST_STATE_BITS:
        raise ValueError(f"state_bits must be 1 to {MOST_STATE_BITS}, got {state_bits}")
