"""Bound the error of any correct evaluation of an operation: one rule for each ATen operation.

A running error analysis (N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 3.3).
Sums of products are kept as polynomials in *atoms* (inputs, results of nonlinear functions) until
another operation needs the number. This covers every order and grouping of the same terms: one
matrix product or a loop, fused gates or four. The rules also cover fused multiply-add, gradual or
abrupt underflow, and the usual forms of sigmoid, tanh and softmax and of their derivatives.
"""
# ruff: noqa: D102 - a rule is named after its operation

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_check.networks.network import Array, precision

Rule = Callable[..., Any]

#: Four units in the last place of exp, tanh, log, as a multiple of the unit roundoff.
_EXP = 8
#: A term may be rounded twice more often than in the traced form: a factor may be distributed over
#: the sum, and a constant factor (1 / N) may be applied elsewhere.
_SLACK = 2


@dataclass(slots=True)
class Sum:
    """A polynomial in atoms, before its rounding errors are added.

    value: in one evaluation; error: caused by the atoms' errors; size: the sum of the terms'
    magnitudes in any evaluation. A term undergoes at most depth + terms - 1 roundings: `depth` when
    it is computed, the others when `terms` terms are added in any order.
    """

    value: Array
    error: Array
    size: Array
    depth: int | float = 0.0
    terms: int | float = 1.0
    rounded_off: "Sum | None" = None

    def moved(self, value: Array, move: Callable[[Array], Array]) -> "Sum":
        """The same terms in other places: `value`, and the other arrays moved alike."""
        return Sum(value, move(self.error), move(self.size), self.depth, self.terms)


def _above_zero(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _axes(dim: Any) -> Any:
    """torch's `dim` as NumPy's `axis`: an empty list means all."""
    return tuple(dim) if isinstance(dim, list | tuple) and dim else None if dim in ([], ()) else dim


class Rules:
    """The rules for a dtype: each is called with the operation's result, then its arguments."""

    def __init__(self, dtype: str) -> None:
        info = precision(dtype)
        self.unit, self.tiny, self.largest = info.eps / 2, info.tiny, info.max

    # Bookkeeping.
    def gamma(self, n: int | float) -> float:
        """The largest relative error of n roundings."""
        nu = n * self.unit
        return nu / (1 - nu) if nu < 1 else float("inf")

    def bound(self, x: Sum) -> Array:
        """A bound on the error of any evaluation of x; infinite where x may overflow."""
        error = x.error
        if x.depth + x.terms > 1:
            n = x.depth + x.terms - 1 + _SLACK
            error = error + self.gamma(n) * x.size + n * self.tiny
        top = abs(x.value) + 2 * error
        if np.maximum.reduce(top, axis=None, initial=0.0) < self.largest:  # False for NaN
            return error
        return np.where(top < self.largest, error, np.inf)

    def atom(self, value: Array, error: Array) -> Sum:
        """A number that every evaluation computes, to within this error."""
        return Sum(value, error, abs(value) + 2 * error)

    def exact(self, value: Any) -> Sum:
        """An input of every evaluation; a subnormal number may be flushed to zero."""
        value = np.asarray(value, float)
        size = abs(value)
        return Sum(value, np.where(size < self.tiny, size, 0.0), size)

    def closed(self, x: Any) -> Sum:
        """x as an atom: a correct evaluation must compute this number, and does so once."""
        if not isinstance(x, Sum):
            return self.exact(x)
        if x.depth + x.terms <= 1:
            return x
        if x.rounded_off is None:
            x.rounded_off = self.atom(x.value, self.bound(x))
        return x.rounded_off

    def smooth(
        self, value: Array, x: Sum, slope: Any, relative: int | float, absolute: int | float = 0
    ) -> Sum:
        """f(x): its largest slope within x's error, its rounding errors in unit roundoffs."""
        inherited = np.where(x.error > 0, x.error * slope, 0.0)
        rounding = self.gamma(relative) * (abs(value) + 2 * inherited) + self.gamma(absolute)
        return self.atom(value, inherited + rounding + self.tiny)

    # Polynomials.
    def add(self, out: Array, a: Any, b: Any, alpha: int | float = 1) -> Sum:
        a = a if isinstance(a, Sum) else self.closed(a)
        b = b if isinstance(b, Sum) else self.closed(b)
        if abs(alpha) != 1:
            b = self.scale(b.value * alpha, b, alpha)
        error, size = a.error + b.error, a.size + b.size
        return Sum(out, error, size, max(a.depth, b.depth), a.terms + b.terms)

    sub = add

    def rsub(self, out: Array, a: Any, b: Any, alpha: int | float = 1) -> Sum:
        return self.add(out, b, a, alpha)

    def scale(self, out: Array, a: Sum, factor: Any, roundings: int = 1) -> Sum:
        """a times a number that every evaluation uses, rounded or not."""
        size = np.abs(factor)
        error = a.error * size + self.tiny
        return Sum(out, error, a.size * size, a.depth + roundings, a.terms)

    def neg(self, out: Array, a: Sum) -> Sum:
        return a.moved(out, np.copy)

    def mul(self, out: Array, a: Any, b: Any) -> Sum:
        if not isinstance(a, Sum) or not isinstance(b, Sum):
            return self.scale(out, *((a, b) if isinstance(a, Sum) else (b, a)))
        a, b = self.closed(a), self.closed(b)
        error = a.error * b.size + a.size * b.error + self.tiny
        return Sum(out, error, a.size * b.size, 1.0)

    def mm(self, out: Array, a: Sum, b: Sum) -> Sum:
        a, b = self.closed(a), self.closed(b)
        n = a.value.shape[-1]
        error = a.error @ b.size + a.size @ b.error + n * self.tiny
        return Sum(out, error, a.size @ b.size, 1.0, float(n))

    bmm = mv = dot = mm

    def addmm(
        self, out: Array, c: Sum, a: Sum, b: Sum, beta: int | float = 1, alpha: int | float = 1
    ) -> Sum:
        if beta != 1:
            c = self.scale(c.value * beta, c, beta)
        return self.add(out, c, self.mm(a.value @ b.value, a, b), alpha)

    baddbmm = addmv = addmm

    def sum(self, out: Array, x: Sum, dim: Any = None, keepdim: bool = False, **_: Any) -> Sum:
        added = x.value.size / max(1, out.size)
        error, size = (part.sum(_axes(dim), keepdims=keepdim) for part in (x.error, x.size))
        return Sum(out, error, size, x.depth, x.terms * added)

    def mean(self, out: Array, x: Sum, dim: Any = None, keepdim: bool = False, **_: Any) -> Sum:
        added = self.sum(out, x, dim, keepdim)
        return self.scale(out, added, out.size / max(1, x.value.size), 2)

    def var(self, out: Array, x: Any, dim: Any, correction: Any = 1, keepdim: bool = False) -> Sum:
        x = self.closed(x)
        mean = x.value.mean(_axes(dim), keepdims=True)
        off = self.sub(x.value - mean, x, self.mean(mean, x, dim, True))
        squares = self.sum(out, self.mul(off.value**2, off, off), dim, keepdim)
        n = x.value.size / max(1, mean.size) - (1 if correction is None else correction)
        return self.scale(out, squares, np.float64(1) / n, 2)  # of one number: NaN

    def var_mean(self, out: Any, x: Any, dim: Any, *how: Any, **more: Any) -> tuple[Sum, Sum]:
        spread = self.var(out[0], x, dim, *how, **more)
        return spread, self.mean(out[1], x, dim, out[1].ndim == self.closed(x).value.ndim)

    # Quotients and other smooth functions.
    def reciprocal(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, 1 / _above_zero(abs(x.value) - 2 * x.error) ** 2, 1)

    def div(self, out: Array, a: Any, b: Any) -> Sum:
        if not isinstance(b, Sum):
            return self.scale(out, a, np.float64(1) / b, 2)  # by 0: infinite
        return self.mul(out, self.closed(a), self.reciprocal(1 / b.value, b))

    def tanh(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        slope = 1 / np.cosh(_above_zero(abs(x.value) - 2 * x.error)) ** 2
        return self.smooth(out, x, slope, 0, 2 * (_EXP + 2) + 2)  # covers 2 sigmoid(2 z) - 1

    def sigmoid(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        near = np.exp(-_above_zero(abs(x.value) - 2 * x.error))
        return self.smooth(out, x, near / (1 + near) ** 2, 0, _EXP + 2)

    def exp(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, np.exp(x.value + 2 * x.error), _EXP)

    def log(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, 1 / _above_zero(x.value - 2 * x.error), _EXP)

    def log1p(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, 1 / _above_zero(1 + x.value - 2 * x.error), _EXP, 1)

    def pow(self, out: Array, x: Any, power: Any) -> Sum:
        if isinstance(power, Sum) or not isinstance(x, Sum):
            raise NotImplementedError("no rounding rule for a power with a tensor as exponent")
        if power == 2:
            return self.mul(out, x, x)
        x = self.closed(x)
        low, high = _above_zero(abs(x.value) - 2 * x.error), abs(x.value) + 2 * x.error
        steep = np.maximum(low ** (power - 1), high ** (power - 1)) * abs(power)
        return self.smooth(out, x, steep, _EXP + 2)

    def sqrt(self, out: Array, x: Any) -> Sum:
        return self.pow(out, x, 0.5)

    def rsqrt(self, out: Array, x: Any) -> Sum:
        return self.pow(out, x, -0.5)

    def sin(self, out: Array, x: Any) -> Sum:
        return self.smooth(out, self.closed(x), 1.0, _EXP)

    cos = sin

    def erf(self, out: Array, x: Any) -> Sum:
        return self.smooth(out, self.closed(x), 2 / np.pi**0.5, _EXP)

    def tanh_backward(self, out: Array, grad: Sum, h: Any) -> Sum:
        h = self.closed(h)
        slope = (1 - h.value) * (1 + h.value)
        inherited = h.error * (2 * abs(h.value) + 3 * h.error)
        rounding = self.gamma(2 * _EXP + 4) * (abs(slope) + 2 * inherited)
        rounding = rounding + self.gamma(1) * (h.size * h.size) + self.tiny  # as 1 - h * h
        return self.mul(out, grad, self.atom(slope, inherited + rounding))

    def sigmoid_backward(self, out: Array, grad: Sum, h: Any) -> Sum:
        h = self.closed(h)
        steep = abs(1 - 2 * h.value) + 3 * h.error
        return self.mul(out, grad, self.smooth(h.value * (1 - h.value), h, steep, 2 * _EXP + 4))

    def softplus(self, out: Array, x: Any, beta: int | float = 1, threshold: float = 20) -> Sum:
        x = self.closed(x)
        z = self.closed(self.scale(x.value * beta, x, beta))
        steep = np.exp(-_above_zero(-z.value - 2 * z.error))
        found = self.smooth(out, x, steep, 2 * _EXP + 4, (2 * _EXP + 4) / abs(beta))
        jump = np.log1p(np.exp(-abs(z.value))) / abs(beta)
        return self.atom(out, found.error + jump * self.decide(z.value, z, threshold).error)

    def softplus_backward(
        self, out: Array, grad: Sum, x: Any, beta: int | float, threshold: int | float
    ) -> Sum:
        x = self.closed(x)
        z = self.closed(self.scale(x.value * beta, x, beta))
        slope = self.sigmoid(1 / (1 + np.exp(-z.value)), z)
        value = np.where(z.value > threshold, 1.0, slope.value)
        jump = (1 - slope.value) * self.decide(z.value, z, threshold).error
        return self.mul(out, grad, self.atom(value, slope.error + jump))

    # Softmax and its losses.
    def _log_softmax(self, out: Array, x: Any, dim: int, _: bool = False) -> Sum:
        x = self.closed(x)
        top = abs(x.value).max(dim, keepdims=True)
        inherited = x.error + x.error.max(dim, keepdims=True)
        rounding = self.gamma(x.value.shape[dim] + 2 * _EXP + 4) if x.value.ndim else 0.0
        rounding = rounding + self.gamma(_EXP + 4) * (abs(out) + 2 * top + 6 * inherited)
        return self.atom(out, inherited + rounding)

    def _log_softmax_backward_data(self, out: Array, g: Sum, logp: Any, dim: int, _: Any) -> Sum:
        p, total = np.exp(logp.value), g.value.sum(dim, keepdims=True)
        spread = self.mul(p * total, self.exp(p, logp), self.sum(total, g, [dim], True))
        return self.add(out, g, spread)

    def _softmax(self, out: Array, x: Any, dim: int, _: bool = False) -> Sum:
        return self.exp(out, self._log_softmax(np.log(out), x, dim))

    def _softmax_backward_data(self, out: Array, grad: Sum, p: Sum, dim: int, _: Any) -> Sum:
        product = self.mul(grad.value * p.value, grad, p)
        total = product.value.sum(dim, keepdims=True)
        inner = self.sub(grad.value - total, grad, self.sum(total, product, [dim], True))
        return self.mul(out, p, inner)

    def nll_loss_forward(
        self, out: Any, logp: Sum, target: Array, weight: Any, reduction: int, ignore: int
    ) -> Any:
        at = np.asarray(target).reshape(-1)
        if weight is not None or (at == ignore).any():
            raise NotImplementedError("no rounding rule for class weights or ignored targets")
        number = logp.value.ndim == 1 and reduction == 0

        def pick(x: Array) -> Array:
            found = x.reshape(-1, x.shape[-1])[range(len(at)), at]
            return np.asarray(found[0]) if number else found

        picked = logp.moved(pick(logp.value), pick)
        rule = (self.neg, self.mean, self.sum)[reduction]
        return rule(out[0], picked), None

    def nll_loss_backward(
        self, out: Array, g: Sum, logp: Sum, target: Any, weight: Any, reduction: int, *_: Any
    ) -> Sum:
        at = np.asarray(target).reshape(-1)
        factor = np.zeros(logp.value.shape)
        factor.reshape(len(at), -1)[range(len(at)), at] = 1 / len(at) if reduction == 1 else 1.0
        if g.value.ndim:
            g = g.moved(g.value[:, np.newaxis], lambda part: part[:, np.newaxis])
        return self.scale(out, g, factor, 2 if reduction == 1 else 0)

    # Decisions: the error is 1 where rounding may change them.
    def decide(self, out: Array, a: Any, b: Any) -> Sum:
        a, b = self.closed(a), self.closed(b)
        error = a.error + b.error  # a comparison does not round
        unsure = (abs(a.value - b.value) <= 2 * error) & (error > 0)
        return self.atom(out.astype(float), unsure.astype(float))

    gt = lt = ge = le = eq = ne = decide

    def where(self, out: Array, c: Any, a: Any, b: Any) -> Sum:
        a, b = self.closed(a), self.closed(b)
        if not isinstance(c, Sum):
            return self.atom(out, np.where(np.asarray(c), a.error, b.error))
        jump = c.error * (abs(a.value - b.value) + a.error + b.error)
        return self.atom(out, np.where(c.value > 0, a.error, b.error) + jump)

    def relu(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        return self.atom(out, np.where(x.value < -2 * x.error, 0.0, x.error))

    def abs(self, out: Array, x: Any) -> Sum:
        return self.atom(out, self.closed(x).error.copy())

    def threshold_backward(self, out: Array, grad: Sum, x: Any, threshold: int | float) -> Sum:
        return self.mul(out, grad, self.decide(self.closed(x).value > threshold, x, threshold))

    def sgn(self, out: Array, x: Any) -> Sum:
        x = self.closed(x)
        return self.atom(out, 2.0 * ((abs(x.value) <= 2 * x.error) & (x.error > 0)))

    sign = sgn

    def maximum(self, out: Array, a: Any, b: Any) -> Sum:
        return self.atom(out, np.maximum(self.closed(a).error, self.closed(b).error))

    minimum = maximum

    def amax(self, out: Array, x: Any, dim: Any, keepdim: bool = False, **_: Any) -> Sum:
        return self.atom(out, self.closed(x).error.max(_axes(dim), keepdims=keepdim))

    amin = amax
