"""How far two correct floating-point evaluations of the network and its gradient may differ.

A rounding-error bound decides parity here, so that nobody picks a tolerance. It is carried beside
one evaluation of equations (1)-(3) and (6)-(11), step by step (a running error analysis: N. Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3). docs/parity.md derives every
line of it. It holds for *every* correct evaluation: any order of summation, with or without fused
multiply-add, gradual or abrupt underflow, any usual form of the sigmoid and its derivative, and
intermediate results in this or a higher precision. It shares no code with `rnn_numpy.model`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.params import Params, check_params

#: What the libraries' exp may err, in units in the last place. Documented for NumPy, torch, glibc
#: and CUDA: at most 1 in most, below 4 in the fastest vectorised ones.
EXP_ULPS = 4
_EXP = 2 * EXP_ULPS  # the same as a relative error, in unit roundoffs
_SIGMOID = _EXP + 2  # exp, add, divide
_SLOPE = 2 * _EXP + 4  # e / (1 + e)^2, the longest of the forms in use
_OWN_ROUNDING = 1 + 2.0**-20  # the bound is computed in float64: terms x steps below 2^32


class Bounds(NamedTuple):
    """For each result, how far a correct evaluation may be from the exact value, entry by entry.

    Two correct evaluations differ by at most twice that.
    """

    outputs: Float[np.ndarray, "time batch n_out"]
    states: Float[np.ndarray, "time batch hidden"]
    params: Params
    x: Float[np.ndarray, "time batch n_in"]
    h_0: Float[np.ndarray, "batch hidden"]


@np.errstate(over="ignore", invalid="ignore")
def bounds(
    params: Params,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"] | None = None,
    *,
    upstream: Float[np.ndarray, "time batch n_out"] | None = None,
    h_0: Float[np.ndarray, "batch hidden"] | None = None,
    window: int | None = None,
    params_error: Params | None = None,
) -> Bounds:
    """Bound the rounding error of outputs, states and gradients at this problem, in its own dtype.

    Args:
        params, x, h_0, window: as for `forward` and `bptt`.
        targets: for the gradient of the squared error (4); or
        upstream: for any upstream gradient on the outputs. Exactly one of the two.
        params_error: how far U, W, V may already be from the exact ones; 0 if left out.

    Raises:
        TypeError, ValueError: as `check_params`; both or neither of targets and upstream.
    """
    check_params(params)
    if (targets is None) == (upstream is None):
        raise ValueError("pass either targets or upstream")
    rounded = _Arithmetic(params.W.dtype)
    U, W, V = map(_Rounded.of, params, params_error or (0.0, 0.0, 0.0))
    inputs = [_Rounded.of(x_t) for x_t in x]
    states = [_Rounded.of(np.zeros((x.shape[1], len(params.W))) if h_0 is None else h_0)]
    for x_t in inputs:
        states.append(rounded.sigmoid(rounded.dot((x_t, U), (states[-1], W))))  # (1), (2)
    outputs = rounded.sigmoid(rounded.dot((_stack(states[1:]), V)))  # (3)

    if targets is None:
        from_above = _Rounded.of(upstream)
    else:
        from_above = rounded.minus(outputs, _Rounded.of(targets))
    eps = rounded.times(from_above, rounded.slope(outputs))  # (6)
    errors = [eps[t][np.newaxis] for t in range(len(x))]
    deltas, from_first = _deltas(rounded, eps, states[1:], W, V, window)

    return Bounds(
        outputs=rounded.bound(outputs),
        states=rounded.bound(_stack(states[1:])),
        params=Params(
            U=rounded.bound(_sum_over_steps(rounded, inputs, deltas)),  # (9)
            W=rounded.bound(_sum_over_steps(rounded, states[:-1], deltas)),  # (10)
            V=rounded.bound(_sum_over_steps(rounded, states[1:], errors)),  # (11)
        ),
        x=np.stack([rounded.bound(_sum_over_rows(rounded, delta, U.T)) for delta in deltas]),
        h_0=rounded.bound(_sum_over_rows(rounded, from_first, W.T)),
    )


def fraction(
    got: Float[np.ndarray, "*axes"],
    expected: Float[np.ndarray, "*axes"],
    bound: Float[np.ndarray, "*axes"],
) -> Float[np.ndarray, "*axes"]:
    """|got - expected| as a fraction of what rounding allows, twice `bound`: above 1, one is wrong.

    A NaN or an infinity on one side is infinitely far off, unless the bound itself is infinite:
    there rounding alone may overflow, and nothing can be said (0).
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        distance = np.abs(np.subtract(got, expected, dtype=np.float64))
        ratio = np.where(distance == 0, 0.0, distance / (2 * bound))
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    return np.where(np.isinf(bound), 0.0, ratio)


@dataclass(frozen=True)
class _Rounded:
    """One evaluation of an intermediate result, and how far *any* may be from the exact value."""

    value: Any
    error: Any

    @classmethod
    def of(cls, value: Any, error: Any = 0.0) -> "_Rounded":
        value = np.asarray(value, np.float64)
        return cls(value, np.broadcast_to(error, value.shape))

    @property
    def magnitude(self) -> Any:
        """No evaluation is larger: both it and `value` are within `error` of the exact one."""
        return np.abs(self.value) + 2 * self.error

    @property
    def T(self) -> "_Rounded":
        return _Rounded(self.value.T, self.error.T)

    def __getitem__(self, index: Any) -> "_Rounded":
        return _Rounded(self.value[index], self.error[index])


class _Arithmetic:
    """Operations in one dtype, each with the error that its result inherits and makes."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        info = np.finfo(dtype)
        self.unit_roundoff = float(info.eps) / 2
        self.underflow = float(info.tiny)
        self.overflow = float(info.max)

    def gamma(self, roundings: int) -> float:
        """The relative error that many roundings in a row can make: n u / (1 - n u), or more."""
        product = roundings * self.unit_roundoff
        return product / (1 - product) if product < 1 else np.inf

    def dot(self, *pairs: tuple[_Rounded, _Rounded]) -> _Rounded:
        """The sum of the matrix products of all pairs, as one sum, added in any order."""
        terms = sum(a.value.shape[-1] for a, _ in pairs)
        inherited = sum(a.magnitude @ b.error + a.error @ b.magnitude for a, b in pairs)
        made = self.gamma(terms) * sum(a.magnitude @ b.magnitude for a, b in pairs)
        value = sum(a.value @ b.value for a, b in pairs)
        return self._result(value, inherited + made + terms * self.underflow)

    def times(self, a: _Rounded, b: _Rounded) -> _Rounded:
        """The entrywise product of two factors, in any grouping of what `b` is made of."""
        inherited = a.magnitude * b.error + a.error * b.magnitude
        made = self.gamma(2) * a.magnitude * b.magnitude
        return self._result(a.value * b.value, inherited + made + self.underflow)

    def minus(self, a: _Rounded, b: _Rounded) -> _Rounded:
        """The entrywise difference."""
        value, inherited = a.value - b.value, a.error + b.error
        made = self.gamma(1) * (np.abs(value) + 2 * inherited)
        return self._result(value, inherited + made + self.underflow)

    def sigmoid(self, z: _Rounded) -> _Rounded:
        """The sigmoid (2), in any form that errs by a few units in the last place of 1."""
        # z and every evaluation of it lie within 2 error of the value; sigma' is largest nearest 0.
        nearest = np.exp(-np.maximum(np.abs(z.value) - 2 * z.error, 0))
        inherited = z.error * nearest / (1 + nearest) ** 2
        error = np.minimum(inherited + self.gamma(_SIGMOID) + self.underflow, 1)
        return self._result(1 / (1 + np.exp(-z.value)), np.where(np.isinf(z.error), np.inf, error))

    def slope(self, h: _Rounded) -> _Rounded:
        """The derivative of the sigmoid, h (1 - h), in any of its usual forms."""
        value = h.value * (1 - h.value)
        inherited = h.error * (np.abs(1 - 2 * h.value) + 3 * h.error)
        made = self.gamma(_SLOPE) * (value + 2 * inherited)
        return self._result(value, inherited + made + self.underflow)

    def bound(self, result: _Rounded) -> Any:
        """The error of a final result, with room for the rounding of the bound itself."""
        return result.error * _OWN_ROUNDING

    def _result(self, value: Any, error: Any) -> _Rounded:
        unknown = ~(np.abs(value) + 2 * error < self.overflow)  # NaN too
        return _Rounded(value, np.where(unknown, np.inf, error))


def _deltas(
    rounded: _Arithmetic,
    eps: _Rounded,
    states: Sequence[_Rounded],
    W: _Rounded,
    V: _Rounded,
    window: int | None,
) -> tuple[list[_Rounded], _Rounded]:
    """delta_t (8) for every t, (rows, batch, hidden), and those rows that go on from h_1 to h_0.

    The full gradient needs one row; in a window the errors of up to window + 1 losses stay apart.
    """
    deltas: list[_Rounded] = []
    for t in reversed(range(len(states))):
        own = (eps[t], V.T)
        if not deltas:
            dE_dh = rounded.dot(own)[np.newaxis]
        elif window is None:
            dE_dh = rounded.dot(own, (deltas[0][0], W.T))[np.newaxis]  # (7)
        else:
            travelled = rounded.dot((deltas[0][:window], W.T))
            dE_dh = _concatenate([rounded.dot(own)[np.newaxis], travelled])
        deltas.insert(0, rounded.times(dE_dh, rounded.slope(states[t])))  # (8)
    return deltas, deltas[0][:window]


def _sum_over_steps(
    rounded: _Arithmetic, lefts: Sequence[_Rounded], deltas: Sequence[_Rounded]
) -> _Rounded:
    """The sum over time, batch and rows of left_t^T delta_t: equations (9)-(11)."""
    left = _concatenate(
        [left for left, delta in zip(lefts, deltas, strict=True) for _ in delta.value]
    )
    flat = _Rounded(
        *(a.reshape(-1, a.shape[-1]) for d in [_concatenate(deltas)] for a in (d.value, d.error))
    )
    return rounded.dot((left.T, flat))


def _sum_over_rows(rounded: _Arithmetic, delta: _Rounded, weights: _Rounded) -> _Rounded:
    """The sum over the rows of delta_t of their products with these weights, as one sum."""
    rows, batch, _ = delta.value.shape
    side_by_side = _Rounded(
        *(np.moveaxis(a, 0, 1).reshape(batch, -1) for a in (delta.value, delta.error))
    )
    repeated = _Rounded(*(np.tile(a, (rows, 1)) for a in (weights.value, weights.error)))
    return rounded.dot((side_by_side, repeated))


def _stack(parts: Sequence[_Rounded]) -> _Rounded:
    return _Rounded(np.stack([p.value for p in parts]), np.stack([p.error for p in parts]))


def _concatenate(parts: Sequence[_Rounded]) -> _Rounded:
    return _Rounded(
        np.concatenate([p.value for p in parts]), np.concatenate([p.error for p in parts])
    )
