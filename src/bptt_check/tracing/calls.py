"""A single operation in NumPy: its value, and the gradient that it passes back to an argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bptt_check.networks.network import Array
from bptt_check.tracing.tape import VIEWS, Node

_VALUES: dict[str, Callable[..., Any]] = {
    "mm": lambda a, b: a @ b,
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "sub": lambda a, b: a - b,
    "div": lambda a, b: a / b,
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: a * (a > 0),
    "neg": lambda a: -a,
    "t": lambda a: a.T,
    "view": lambda a, shape: a.reshape(shape),
}
#: What g, the gradient of the value `out`, contributes to that of argument j of two.
_OF_TWO: dict[str, Callable[..., Any]] = {
    "mm": lambda g, out, j, a, b: a.T @ g if j else g @ b.T,
    "add": lambda g, out, j, *args: _summed(g, args[j]),
    "sub": lambda g, out, j, *args: _summed(-g if j else g, args[j]),
    "mul": lambda g, out, j, *args: _summed(g * args[1 - j], args[j]),
    "div": lambda g, out, j, a, b: _summed(-g * out / b if j else g / b, b if j else a),
}
#: What it contributes to that of the first argument.
_OF_ONE: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda g, out, *_: g * out * (1 - out),
    "tanh": lambda g, out, *_: g * (1 - out * out),
    "relu": lambda g, out, *_: g * (out > 0),
    "exp": lambda g, out, *_: g * out,
    "neg": lambda g, *_: -g,
    "rsub": lambda g, *_: -g,
    "t": lambda g, *_: g.T,
    **dict.fromkeys(
        ("view", "_view", "squeeze", "unsqueeze"), lambda g, _, a, *__: g.reshape(a.shape)
    ),
    "expand": lambda g, _, a, *__: _summed(g, a),
    "_log_softmax": lambda g, out, _, dim, *__: g - np.exp(out) * g.sum(axis=dim, keepdims=True),
    "pow": lambda g, _, a, power: g * power * a ** (power - 1),
    "sum": lambda g, _, a, dims=(), keep=False: np.broadcast_to(
        g if keep else np.expand_dims(g, tuple(dims)), a.shape
    ),
}


def call(node: Node, args: list[Any]) -> Array:
    """The value of a node, given the values of its arguments."""
    if node.op in _VALUES and not node.kwargs:
        return np.asarray(_VALUES[node.op](*args))
    with torch.no_grad():
        out = node.func(*map(_tensors, args), **node.kwargs)
    its = out if node.which is None else out[node.which]
    return np.asarray(its.resolve_conj().resolve_neg().numpy())


def passed_back(node: Node, j: Any, args: list[Any], out: Array, g: Array) -> Array:
    """The contribution of g, the gradient of a node's value, to the gradient of its argument j."""
    op = node.op
    if not node.kwargs and out.dtype.kind != "c":
        if op in _OF_TWO:
            return np.asarray(_OF_TWO[op](g, out, j, *args))
        if op in _OF_ONE and j == 0:
            return np.asarray(_OF_ONE[op](g, out, *args))
    if op in VIEWS and op != "expand":
        return _at_its_place(node, args, g)
    if op == "nll_loss_forward" and np.ndim(args[0]) == 2 and args[2] is None:
        g = -g / (len(args[1]) if args[3] == 1 else 1)
        return np.asarray(np.equal.outer(args[1], np.arange(args[0].shape[1])) * g[..., None])
    return _by_autograd(node, j, args, g)


def _at_its_place(node: Node, args: list[Any], g: Array) -> Array:
    """g at the entries of the argument that a view shows, 0 elsewhere."""
    whole = torch.from_numpy(np.zeros_like(args[0]))
    out = node.func(whole, *args[1:], **node.kwargs)
    (out if node.which is None else out[node.which]).copy_(_tensors(np.asarray(g)))
    return np.asarray(whole.numpy())


def _summed(g: Array, argument: Any) -> Array:
    """g, summed over the axes along which the argument was broadcast."""
    g, shape = np.asarray(g), np.shape(argument)
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return np.asarray(g.sum(axis=repeated, keepdims=True)) if repeated else np.asarray(g)


def _by_autograd(node: Node, j: Any, args: list[Any], g: Array) -> Array:
    """The contribution of any other operation: torch differentiates this one call."""
    tensors = [_tensors(a) for a in args]
    holder, index = (tensors, j) if isinstance(j, int) else (tensors[j[0]], j[1])
    argument = holder[index] = holder[index].clone().requires_grad_()
    with torch.enable_grad():
        out = node.func(*tensors, **node.kwargs)
        out = out if node.which is None else out[node.which]
        if not out.requires_grad:
            return np.zeros(np.shape(argument.detach()))
        # Of a scalar: for the gradient of an array torch imports what takes seconds.
        scalar = (out * _tensors(np.asarray(g)).to(out.dtype).conj()).sum().real
        (gradient,) = torch.autograd.grad(scalar, argument, materialize_grads=True)
    return np.asarray(gradient.resolve_conj().numpy())


def _tensors(a: Any) -> Any:
    if isinstance(a, np.ndarray | np.generic):
        return torch.from_numpy(np.array(a))
    return [_tensors(b) for b in a] if isinstance(a, list) else a
