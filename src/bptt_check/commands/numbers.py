"""Numbers of reports: what rounding explains, and what JSON can hold."""

import sys
from typing import Any

import numpy as np
from jaxtyping import Float


def fraction(
    got: Float[np.ndarray, "*axes"],
    expected: Float[np.ndarray, "*axes"],
    bound: Float[np.ndarray, "*axes"],
) -> Float[np.ndarray, "*axes"]:
    """|got - expected| / (2 `bound`), the fraction of what rounding allows; above 1, one is wrong.

    For a NaN or an infinity on one side the fraction is infinite. If the bound is infinite, because
    rounding alone may overflow, or is not known (NaN), it is 0: nothing can be decided.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        distance = np.abs(np.subtract(got, expected, dtype=np.float64))
        ratio = np.where(distance == 0, 0.0, distance / (2 * bound))
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    return np.where(np.isfinite(bound), ratio, 0.0)


def finite(value: Any) -> Any:
    """Replace what JSON does not have: infinity by the largest number, NaN by null."""
    if not isinstance(value, float):
        return value
    return None if value != value else max(-sys.float_info.max, min(value, sys.float_info.max))
