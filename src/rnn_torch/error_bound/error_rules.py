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

import torch
from torch import Tensor

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

    value: Tensor
    error: Tensor
    size: Tensor
    depth: int | float = 0.0
    terms: int | float = 1.0
    rounded_off: "Sum | None" = None


class Rules:
    """The rules for a dtype: each is called with the operation's result, then its arguments."""

    def __init__(self, dtype: torch.dtype) -> None:
        info = torch.finfo(dtype)
        self.unit, self.tiny, self.largest = info.eps / 2, info.tiny, info.max

    # Bookkeeping.
    def gamma(self, n: int | float) -> float:
        """The largest relative error of n roundings."""
        nu = n * self.unit
        return nu / (1 - nu) if nu < 1 else float("inf")

    def bound(self, x: Sum) -> Tensor:
        """A bound on the error of any evaluation of x; infinite where x may overflow."""
        error = x.error
        if x.depth + x.terms > 1:
            n = x.depth + x.terms - 1 + _SLACK
            error = error + self.gamma(n) * x.size + n * self.tiny
        top = x.value.abs() + 2 * error
        finite = top < self.largest  # False for NaN
        return error if bool(finite.all()) else torch.where(finite, error, torch.inf)

    def atom(self, value: Tensor, error: Tensor) -> Sum:
        """A number that every evaluation computes, to within this error."""
        return Sum(value, error, value.abs() + 2 * error)

    def exact(self, value: Tensor) -> Sum:
        """An input of every evaluation; a subnormal number may be flushed to zero."""
        value = value.to(torch.float64)
        size = value.abs()
        return Sum(value, torch.where(size < self.tiny, size, 0.0), size)

    def closed(self, x: Any) -> Sum:
        """x as an atom: a correct evaluation must compute this number, and does so once."""
        if not isinstance(x, Sum):
            return self.exact(torch.as_tensor(x, dtype=torch.float64))
        if x.depth + x.terms <= 1:
            return x
        if x.rounded_off is None:
            x.rounded_off = self.atom(x.value, self.bound(x))
        return x.rounded_off

    def smooth(
        self, value: Tensor, x: Sum, slope: Any, relative: int | float, absolute: int | float = 0
    ) -> Sum:
        """f(x): its largest slope within x's error, its rounding errors in unit roundoffs."""
        inherited = torch.where(x.error > 0, x.error * slope, 0.0)
        rounding = self.gamma(relative) * (value.abs() + 2 * inherited) + self.gamma(absolute)
        return self.atom(value, inherited + rounding + self.tiny)

    # Polynomials.
    def add(self, out: Tensor, a: Any, b: Any, alpha: int | float = 1) -> Sum:
        a = a if isinstance(a, Sum) else self.closed(a)
        b = b if isinstance(b, Sum) else self.closed(b)
        if abs(alpha) != 1:
            b = self.scale(b.value * alpha, b, alpha)
        error, size = a.error + b.error, a.size + b.size
        return Sum(out, error, size, max(a.depth, b.depth), a.terms + b.terms)

    sub = add

    def rsub(self, out: Tensor, a: Any, b: Any, alpha: int | float = 1) -> Sum:
        return self.add(out, b, a, alpha)

    def scale(self, out: Tensor, a: Sum, factor: Any, roundings: int = 1) -> Sum:
        """a times a number that every evaluation uses, rounded or not."""
        size = abs(factor)
        error = a.error * size + self.tiny
        return Sum(out, error, a.size * size, a.depth + roundings, a.terms)

    def neg(self, out: Tensor, a: Sum) -> Sum:
        return Sum(out, a.error, a.size, a.depth, a.terms)

    def mul(self, out: Tensor, a: Any, b: Any) -> Sum:
        if not isinstance(a, Sum) or not isinstance(b, Sum):
            return self.scale(out, *((a, b) if isinstance(a, Sum) else (b, a)))
        a, b = self.closed(a), self.closed(b)
        error = a.error * b.size + a.size * b.error + self.tiny
        return Sum(out, error, a.size * b.size, 1.0)

    def mm(self, out: Tensor, a: Sum, b: Sum) -> Sum:
        a, b = self.closed(a), self.closed(b)
        n = a.value.shape[-1]
        error = a.error @ b.size + a.size @ b.error + n * self.tiny
        return Sum(out, error, a.size @ b.size, 1.0, float(n))

    bmm = mv = dot = mm

    def addmm(
        self, out: Tensor, c: Sum, a: Sum, b: Sum, beta: int | float = 1, alpha: int | float = 1
    ) -> Sum:
        if beta != 1:
            c = self.scale(c.value * beta, c, beta)
        return self.add(out, c, self.mm(a.value @ b.value, a, b), alpha)

    baddbmm = addmv = addmm

    def sum(self, out: Tensor, x: Sum, dim: Any = None, keepdim: bool = False, **_: Any) -> Sum:
        if dim is None or dim == []:
            dim = tuple(range(x.value.ndim))
        added = x.value.numel() / max(1, out.numel())
        error, size = x.error.sum(dim, keepdim), x.size.sum(dim, keepdim)
        return Sum(out, error, size, x.depth, x.terms * added)

    def mean(self, out: Tensor, x: Sum, dim: Any = None, keepdim: bool = False, **_: Any) -> Sum:
        added = self.sum(out, x, dim, keepdim)
        return self.scale(out, added, out.numel() / max(1, x.value.numel()), 2)

    def var(self, out: Tensor, x: Any, dim: Any, correction: Any = 1, keepdim: bool = False) -> Sum:
        x = self.closed(x)
        mean = x.value.mean(dim, True)
        off = self.sub(x.value - mean, x, self.mean(mean, x, dim, True))
        squares = self.sum(out, self.mul(off.value**2, off, off), dim, keepdim)
        n = x.value.numel() / max(1, mean.numel()) - (1 if correction is None else correction)
        return self.scale(out, squares, 1 / n, 2)

    def var_mean(self, out: Any, x: Any, dim: Any, *how: Any, **more: Any) -> tuple[Sum, Sum]:
        spread = self.var(out[0], x, dim, *how, **more)
        return spread, self.mean(out[1], x, dim, out[1].ndim == self.closed(x).value.ndim)

    # Quotients and other smooth functions.
    def reciprocal(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, (x.value.abs() - 2 * x.error).clamp(min=0) ** -2, 1)

    def div(self, out: Tensor, a: Any, b: Any) -> Sum:
        if not isinstance(b, Sum):
            return self.scale(out, a, 1 / b, 2)
        return self.mul(out, self.closed(a), self.reciprocal(1 / b.value, b))

    def tanh(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        slope = torch.cosh((x.value.abs() - 2 * x.error).clamp(min=0)) ** -2
        return self.smooth(out, x, slope, 0, 2 * (_EXP + 2) + 2)  # covers 2 sigmoid(2 z) - 1

    def sigmoid(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        near = torch.exp(-(x.value.abs() - 2 * x.error).clamp(min=0))
        return self.smooth(out, x, near / (1 + near) ** 2, 0, _EXP + 2)

    def exp(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, torch.exp(x.value + 2 * x.error), _EXP)

    def log(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, 1 / (x.value - 2 * x.error).clamp(min=0), _EXP)

    def log1p(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        return self.smooth(out, x, 1 / (1 + x.value - 2 * x.error).clamp(min=0), _EXP, 1)

    def pow(self, out: Tensor, x: Any, power: Any) -> Sum:
        if isinstance(power, Sum) or not isinstance(x, Sum):
            raise NotImplementedError("no rounding rule for a power with a tensor as exponent")
        if power == 2:
            return self.mul(out, x, x)
        x = self.closed(x)
        low, high = (x.value.abs() - 2 * x.error).clamp(min=0), x.value.abs() + 2 * x.error
        steep = torch.maximum(low ** (power - 1), high ** (power - 1)) * abs(power)
        return self.smooth(out, x, steep, _EXP + 2)

    def sqrt(self, out: Tensor, x: Any) -> Sum:
        return self.pow(out, x, 0.5)

    def rsqrt(self, out: Tensor, x: Any) -> Sum:
        return self.pow(out, x, -0.5)

    def sin(self, out: Tensor, x: Any) -> Sum:
        return self.smooth(out, self.closed(x), 1.0, _EXP)

    cos = sin

    def erf(self, out: Tensor, x: Any) -> Sum:
        return self.smooth(out, self.closed(x), 2 / torch.pi**0.5, _EXP)

    def tanh_backward(self, out: Tensor, grad: Sum, h: Any) -> Sum:
        h = self.closed(h)
        slope = (1 - h.value) * (1 + h.value)
        inherited = h.error * (2 * h.value.abs() + 3 * h.error)
        rounding = self.gamma(2 * _EXP + 4) * (slope.abs() + 2 * inherited)
        rounding = rounding + self.gamma(1) * (h.size * h.size) + self.tiny  # as 1 - h * h
        return self.mul(out, grad, self.atom(slope, inherited + rounding))

    def sigmoid_backward(self, out: Tensor, grad: Sum, h: Any) -> Sum:
        h = self.closed(h)
        steep = (1 - 2 * h.value).abs() + 3 * h.error
        return self.mul(out, grad, self.smooth(h.value * (1 - h.value), h, steep, 2 * _EXP + 4))

    # Softmax and its losses.
    def _log_softmax(self, out: Tensor, x: Any, dim: int, _: bool = False) -> Sum:
        x = self.closed(x)
        top = x.value.abs().amax(dim, keepdim=True)
        inherited = x.error + x.error.amax(dim, keepdim=True)
        rounding = self.gamma(x.value.shape[dim] + 2 * _EXP + 4) if x.value.ndim else 0.0
        rounding = rounding + self.gamma(_EXP + 4) * (out.abs() + 2 * top + 6 * inherited)
        return self.atom(out, inherited + rounding)

    def _log_softmax_backward_data(self, out: Tensor, g: Sum, logp: Any, dim: int, _: Any) -> Sum:
        p, total = torch.exp(logp.value), g.value.sum(dim, True)
        spread = self.mul(p * total, self.exp(p, logp), self.sum(total, g, dim, True))
        return self.add(out, g, spread)

    def _softmax(self, out: Tensor, x: Any, dim: int, _: bool = False) -> Sum:
        return self.exp(out, self._log_softmax(out.log(), x, dim))

    def _softmax_backward_data(self, out: Tensor, grad: Sum, p: Sum, dim: int, _: Any) -> Sum:
        product = self.mul(grad.value * p.value, grad, p)
        total = product.value.sum(dim, True)
        inner = self.sub(grad.value - total, grad, self.sum(total, product, dim, True))
        return self.mul(out, p, inner)

    def nll_loss_forward(
        self, out: Any, logp: Sum, target: Tensor, weight: Any, reduction: int, ignore: int
    ) -> Any:
        if weight is not None or bool((target == ignore).any()):
            raise NotImplementedError("no rounding rule for class weights or ignored targets")
        one_row = logp.value.ndim == 1
        at = target.reshape(-1, 1)

        def pick(x: Tensor) -> Tensor:
            return x.reshape(-1, x.shape[-1]).gather(1, at)[:, 0]

        value, error, size = map(pick, (logp.value, logp.error, logp.size))
        picked = Sum(value, error, size, logp.depth, logp.terms)
        if reduction == 0:
            return self.neg(out[0], picked if not one_row else self._first(picked)), None
        return (self.mean if reduction == 1 else self.sum)(out[0], picked), None

    def _first(self, x: Sum) -> Sum:
        return Sum(x.value[0], x.error[0], x.size[0], x.depth, x.terms)

    def nll_loss_backward(
        self,
        out: Tensor,
        g: Sum,
        logp: Sum,
        target: Tensor,
        weight: Any,
        reduction: int,
        *rest: Any,
    ) -> Sum:
        one = torch.ones_like(g.value)
        total = rest[1].value if isinstance(rest[1], Sum) else rest[1]
        backward = torch.ops.aten.nll_loss_backward
        factor = backward(one, logp.value, target, weight, reduction, rest[0], total)
        rows = (-1, 1) if g.value.ndim else ()
        value, error, size = (x.reshape(rows) for x in (g.value, g.error, g.size))
        its = Sum(value, error, size, g.depth, g.terms)
        return self.scale(out, its, factor, 2 if reduction == 1 else 0)

    # Decisions: the error is 1 where rounding may change them.
    def decide(self, out: Tensor, a: Any, b: Any) -> Sum:
        a, b = self.closed(a), self.closed(b)
        error = a.error + b.error  # a comparison does not round
        unsure = ((a.value - b.value).abs() <= 2 * error) & (error > 0)
        return self.atom(out.double(), unsure.double())

    gt = lt = ge = le = eq = ne = decide

    def where(self, out: Tensor, c: Any, a: Any, b: Any) -> Sum:
        a, b = self.closed(a), self.closed(b)
        if not isinstance(c, Sum):
            return self.atom(out, torch.where(c, a.error, b.error))
        jump = c.error * ((a.value - b.value).abs() + a.error + b.error)
        return self.atom(out, torch.where(c.value > 0, a.error, b.error) + jump)

    def relu(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        return self.atom(out, torch.where(x.value < -2 * x.error, 0.0, x.error))

    def abs(self, out: Tensor, x: Any) -> Sum:
        return self.atom(out, self.closed(x).error)

    def threshold_backward(self, out: Tensor, grad: Sum, x: Any, threshold: int | float) -> Sum:
        return self.mul(out, grad, self.decide(self.closed(x).value > threshold, x, threshold))

    def sgn(self, out: Tensor, x: Any) -> Sum:
        x = self.closed(x)
        return self.atom(out, 2.0 * ((x.value.abs() <= 2 * x.error) & (x.error > 0)))

    sign = sgn

    def maximum(self, out: Tensor, a: Any, b: Any) -> Sum:
        return self.atom(out, torch.maximum(self.closed(a).error, self.closed(b).error))

    minimum = maximum

    def amax(self, out: Tensor, x: Any, dim: Any, keepdim: bool = False, **_: Any) -> Sum:
        return self.atom(out, self.closed(x).error.amax(dim, keepdim))

    amin = amax
