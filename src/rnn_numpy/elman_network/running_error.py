"""Running error arithmetic: each result carries a bound on the error of any evaluation of it.

N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3; docs/parity.md
derives the bound of each operation. No second-order term is dropped, so large bounds also hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

#: Largest error of exp in the libraries, in units in the last place. Documented for NumPy, torch,
#: glibc and CUDA: at most 1 in most, below 4 in the fastest vectorised versions.
EXP_ULPS = 4
_EXP = 2 * EXP_ULPS  # the same as a relative error, in unit roundoffs
_SIGMOID = _EXP + 2  # exp, add, divide
_SLOPE = 2 * _EXP + 4  # e / (1 + e)^2, the longest of the forms in use
_OWN_ROUNDING = 1 + 2.0**-20  # the bound is computed in float64: terms x steps below 2^32


@dataclass(frozen=True)
class Rounded:
    """One evaluation of an intermediate result, and an error bound for *any* evaluation of it."""

    value: Any
    error: Any

    @classmethod
    def of(cls, value: Any, error: Any = 0.0) -> "Rounded":
        """An array, exact unless an error is given."""
        value = np.asarray(value, np.float64)
        return cls(value, np.broadcast_to(error, value.shape))

    @cached_property
    def magnitude(self) -> Any:
        """The largest magnitude of any evaluation; it and `value` are within `error` of exact."""
        return np.abs(self.value) + 2 * self.error

    @property
    def T(self) -> "Rounded":
        """The transpose."""
        return self.arranged(np.transpose)

    def arranged(self, arrange: Callable[[Any], Any]) -> "Rounded":
        """Both arrays, arranged by this function."""
        return Rounded(arrange(self.value), arrange(self.error))

    def __getitem__(self, index: Any) -> "Rounded":
        return Rounded(self.value[index], self.error[index])


class Arithmetic:
    """Operations in one dtype; a result's error combines propagated and rounding errors."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        info = np.finfo(dtype)
        self.unit_roundoff = float(info.eps) / 2
        self.underflow = float(info.tiny)
        self.overflow = float(info.max)

    def given(self, value: Any, error: Any = 0.0) -> Rounded:
        """Like `Rounded.of`, for inputs whose subnormal entries may be flushed to zero."""
        exact = Rounded.of(value, error)
        size = np.abs(exact.value)
        return Rounded(exact.value, exact.error + np.where(size < self.underflow, size, 0.0))

    def gamma(self, roundings: int) -> float:
        """A bound on the relative error of n successive roundings: n u / (1 - n u), or more."""
        product = roundings * self.unit_roundoff
        return product / (1 - product) if product < 1 else np.inf

    def dot(self, *pairs: tuple[Rounded, Rounded]) -> Rounded:
        """The sum of the matrix products of all pairs, with all terms added in any order."""
        terms = sum(a.value.shape[-1] for a, _ in pairs)
        inherited = sum(a.magnitude @ b.error + a.error @ b.magnitude for a, b in pairs)
        largest = sum(a.magnitude @ b.magnitude for a, b in pairs)
        rounding = self.gamma(terms) * largest
        value = sum(a.value @ b.value for a, b in pairs)
        error = inherited + rounding + 2 * terms * self.underflow
        # No partial sum, in any order, exceeds the sum of the terms' magnitudes.
        return self._result(value, np.where(largest + rounding < self.overflow, error, np.inf))

    def times(self, a: Rounded, b: Rounded) -> Rounded:
        """The entrywise product, for any grouping of the factors that `b` consists of."""
        inherited = a.magnitude * b.error + a.error * b.magnitude
        rounding = self.gamma(2) * a.magnitude * b.magnitude
        return self._result(a.value * b.value, inherited + rounding + 2 * self.underflow)

    def minus(self, a: Rounded, b: Rounded) -> Rounded:
        """The entrywise difference."""
        value, inherited = a.value - b.value, a.error + b.error
        rounding = self.gamma(1) * (np.abs(value) + 2 * inherited)
        return self._result(value, inherited + rounding + self.underflow)

    def sigmoid(self, z: Rounded) -> Rounded:
        """The sigmoid (2), in any form with an error of a few units in the last place of 1."""
        # Exact z and every evaluation are within 2 error of the value; sigma' decreases with |z|.
        nearest = np.exp(-np.maximum(np.abs(z.value) - 2 * z.error, 0))
        inherited = z.error * nearest / (1 + nearest) ** 2
        error = np.minimum(inherited + self.gamma(_SIGMOID) + self.underflow, 1)
        return self._result(1 / (1 + np.exp(-z.value)), np.where(np.isinf(z.error), np.inf, error))

    def slope(self, h: Rounded) -> Rounded:
        """The derivative of the sigmoid, h (1 - h), in any of its usual forms."""
        value = h.value * (1 - h.value)
        inherited = h.error * (np.abs(1 - 2 * h.value) + 3 * h.error)
        rounding = self.gamma(_SLOPE) * (value + 2 * inherited)
        return self._result(value, inherited + rounding + 2 * self.underflow)

    def bound(self, result: Rounded) -> Any:
        """The error bound of a final result, enlarged for the rounding of the bound itself."""
        return result.error * _OWN_ROUNDING

    def _result(self, value: Any, error: Any) -> Rounded:
        unknown = ~(np.abs(value) + 2 * error < self.overflow)  # NaN too
        return Rounded(value, np.where(unknown, np.inf, error))


def joined(join: Callable[[list[Any]], Any], parts: Sequence[Rounded]) -> Rounded:
    """As np.stack or np.concatenate of arrays."""
    return Rounded(join([part.value for part in parts]), join([part.error for part in parts]))
