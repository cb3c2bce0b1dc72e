"""Copy arrays into a memory layout; neither torch nor the network is needed."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def laid_out(array: Any, strides: Sequence[int]) -> Any:
    """A copy with these strides, in bytes, and the number 3 between the entries.

    Where a stride is 0 there is one entry. It is C-contiguous if a stride is negative or no
    multiple of the item size.
    """
    if 0 in strides:
        one = array[tuple(slice(None if s else 1) for s in strides)]
        return np.broadcast_to(one.copy(), array.shape)
    copy = array.copy()
    if copy.strides == tuple(strides) or any(s < 0 or s % array.itemsize for s in strides):
        return copy
    last = sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True)) // array.itemsize
    memory = np.full(last + 1, 3, array.dtype)
    apart: Any = np.ndarray(array.shape, array.dtype, memory, strides=tuple(strides))
    apart[...] = array
    return apart
