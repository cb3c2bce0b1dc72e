"""Check arguments of public functions; each error states what is wanted and what is given."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def check_array(
    name: str, array: Any, axes: Mapping[str, int | None], dtype: np.dtype[Any]
) -> None:
    """Raise unless `array` is a finite NumPy array of this dtype with these axes.

    TypeError for another type or dtype, ValueError for another shape, a NaN or an infinity. `axes`
    maps each axis' name to its size; None accepts any size of at least 1.
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
    """Raise ValueError unless `shape` matches `axes` (name -> size, None: any size from 1)."""
    sizes = tuple(axes.values())
    if _matches(shape, sizes):
        return
    wanted = ", ".join(axis if size is None else f"{axis}={size}" for axis, size in axes.items())
    remedy = ""
    if len(sizes) == 2 and _matches(shape[::-1], sizes):
        remedy = f": pass {name}.T?"
    elif len(sizes) == 3 and len(shape) == 2 and _matches((shape[0], 1, shape[1]), sizes):
        remedy = f": add the batch axis with {name}[:, None, :]?"
    elif 0 in shape:
        remedy = ": every axis needs at least one entry"
    raise ValueError(f"{name} must be ({wanted}), got {shape}{remedy}")


def check_finite(name: str, array: np.ndarray) -> None:
    """Raise ValueError, naming the first such entry, if `array` contains a NaN or an infinity."""
    if not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, got {array[index]} at {list(index)}")


def _matches(shape: tuple[int, ...], sizes: tuple[int | None, ...]) -> bool:
    return len(shape) == len(sizes) and all(
        got >= 1 and size in (None, got) for got, size in zip(shape, sizes, strict=True)
    )


def check_integer(name: str, value: object, least: int, most: int | None) -> None:
    """Raise TypeError unless it is an integer, ValueError if out of range (None: no maximum)."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least or (most is not None and value > most):
        wanted = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be {wanted}, got {value}")
