"""By how much operations of torch are wrong on purpose: beyond rounding, in float64 too.

Of sixty functions and their derivatives, compared with mpmath at arguments up to 150, these alone
are further off than rounding: they switch to another formula beyond a threshold, or end a series
early. An evaluation with torch's operation and one without it are both correct.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from bptt_check.networks.network import Array


def _softplus(x: Array, beta: float = 1, threshold: float = 20) -> Array:
    z = x * beta
    return np.where(z > _near(threshold), np.log1p(np.exp(-abs(z))) / beta, 0.0)


def _softplus_slope(grad: Array, x: Array, beta: float = 1, threshold: float = 20) -> Array:
    z = x * beta
    return np.where(z > _near(threshold), abs(grad) / (1 + np.exp(abs(z))), 0.0)


def _near(threshold: float) -> float:
    """Another evaluation may be beyond the threshold; a lower one is the network's own choice."""
    return threshold - 1 if threshold >= 20 else np.inf


def _cross_entropy_slope(grad: Array, p: Array, y: Array, weight: Any, reduction: int = 1) -> Array:
    """The quotient (p - y) / (p (1 - p)), of which torch's denominator is at least 1e-12."""
    low = np.minimum(p * (1 - p), 1e-12)
    top = abs(grad * (p - y) * (1.0 if weight is None else weight))
    return np.where(top == 0, 0.0, top * (1 / low - 1e12)) / (p.size if reduction == 1 else 1)


def _cross_entropy(p: Array, y: Array, weight: Any = None, reduction: int = 1) -> Array:
    """The logarithms, which in torch are at least -100."""
    shares = ((y, p), (1 - y, 1 - p))
    below = [np.where(a == 0, 0.0, a * np.maximum(0.0, -100 - np.log(q))) for a, q in shares]
    each: Array = (below[0] + below[1]) * (1.0 if weight is None else weight)
    return each if reduction == 0 else np.asarray(each.sum() / (p.size if reduction == 1 else 1))


def _trigamma(order: int, x: Array) -> Array:
    """The first term of its asymptotic series that torch leaves out; it is used above 6."""
    return np.full(x.shape, 1 / 30 / 6.0**9 if order == 1 else 0.0)


_SOFTPLUS = "softplus is linear above its threshold"
_CROSS_ENTROPY = "binary_cross_entropy clamps its logarithms, and p (1 - p) at 1e-12"
#: The size of the error for each operation, given its arguments, and the operation in words.
TRUNCATED: dict[str, tuple[Callable[..., Array], str]] = {
    "aten::softplus": (_softplus, _SOFTPLUS),
    "aten::softplus_backward": (_softplus_slope, _SOFTPLUS),
    "aten::binary_cross_entropy": (_cross_entropy, _CROSS_ENTROPY),
    "aten::binary_cross_entropy_backward": (_cross_entropy_slope, _CROSS_ENTROPY),
    "aten::polygamma": (_trigamma, "the derivative of digamma is a series that ends early"),
}


def truncation(name: str, arguments: Sequence[Any]) -> tuple[Array, str]:
    """The error of a `TRUNCATED` operation with these arguments beyond rounding, and its words."""
    error, words = TRUNCATED[name]
    values = [a.numpy(force=True) if isinstance(a, Tensor) else a for a in arguments]
    with np.errstate(all="ignore"):
        return np.asarray(error(*values)), words
