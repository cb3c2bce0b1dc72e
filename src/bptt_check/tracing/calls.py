"""A single operation in NumPy: its value, and the gradient that it passes back to an argument."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bptt_check.networks.network import Array
from bptt_check.tracing.tape import Node

VALUES: dict[str, Callable[..., Any]] = {
    "mm": lambda a, b: a @ b,
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


_TRANSPOSED = {"transposed 0": 0, "transposed 1": 1}


def call(node: Node, args: list[Any]) -> Array:
    """The value of a node, given the values of its arguments."""
    op = node.op
    if op == "copy of an argument":  # this op and the next two: altered forward passes
        return np.broadcast_to(args[node.kwargs["of"]], np.broadcast_shapes(*map(np.shape, args)))
    if op == "one minus":
        return 1 - call(node.func, args)
    if op == "minus":
        return -call(node.func, args)
    if op in _TRANSPOSED:
        return call(node.func, _with_transposed(args, _TRANSPOSED[op]))
    if op == "constant inside":
        return call(node.func, _with_constant(node, args))
    if op == "add" and len(args) == 2 and not node.kwargs:
        return args[0] + args[1]
    if op in VALUES and not node.kwargs:
        return np.asarray(VALUES[op](*args))
    with torch.no_grad():
        out = node.func(*map(_tensors, args), **node.kwargs)
    its = out if node.which is None else out[node.which]
    return np.asarray(its.resolve_conj().resolve_neg().numpy())


def passed_back(node: Node, j: Any, args: list[Any], out: Array, g: Array) -> Array:
    """The contribution of g, the gradient of a node's value, to the gradient of its argument j."""
    return backward(node, j, args, out)(g)


def backward(node: Node, j: Any, args: list[Any], out: Array) -> Callable[[Array], Array]:
    """What maps the gradient of a node's value to the contribution to that of its argument j."""
    op = node.op
    if any(isinstance(a, np.ndarray) and a.dtype.kind == "c" for a in (out, *args)):
        return lambda g: _by_autograd(node, j, args, g)
    if op in ("mm", "bmm"):
        other = np.swapaxes(args[1 - j], -1, -2)
        return (lambda g: g @ other) if j == 0 else (lambda g: other @ g)
    if op == "mul":
        factor, shape = args[1 - j], np.shape(args[j])
        return lambda g: unbroadcast(g * factor, shape)
    if op in ("add", "sub") and not node.kwargs and len(args) == 2:
        shape = np.shape(args[j])
        if op == "add" or j == 0:
            return lambda g: unbroadcast(g, shape)
        return lambda g: -unbroadcast(g, shape)
    if op == "div" and not node.kwargs:
        shape = np.shape(args[j])
        factor = 1 / args[1] if j == 0 else -out / args[1]
        return lambda g: unbroadcast(g * factor, shape)
    if op in ("maximum", "minimum"):
        own, rest = (args[j], args[1 - j]) if op == "maximum" else (args[1 - j], args[j])
        factor, shape = np.heaviside(own - rest, 0.5), np.shape(args[j])
        return lambda g: unbroadcast(g * factor, shape)
    if op == "copy of an argument":
        shape = np.shape(args[j])
        if j == node.kwargs["of"]:
            return lambda g: unbroadcast(g, shape)
        return lambda g: np.zeros(shape)
    if op == "one minus":
        inner = backward(node.func, j, args, 1 - out)
        return lambda g: -inner(g)
    if op == "minus":
        inner = backward(node.func, j, args, -out)
        return lambda g: -inner(g)
    if op in _TRANSPOSED:
        its = _TRANSPOSED[op]
        inner = backward(node.func, j, _with_transposed(args, its), out)
        return (lambda g: inner(g).T) if j == its else inner
    if op == "constant inside":
        return backward(node.func, j, _with_constant(node, args), out)
    if op in _DERIVATIVES and j == 0:
        derivative = _DERIVATIVES[op]
        return lambda g: np.asarray(derivative(g, out, *args))
    return lambda g: _rarer(node, j, args, g)


def _rarer(node: Node, j: Any, args: list[Any], g: Array) -> Array:
    op = node.op
    if op == "nll_loss_forward" and j == 0 and args[0].ndim == 2 and args[2] is None:
        full = np.zeros(args[0].shape)
        full[np.arange(len(full)), args[1]] = -g / (len(full) if args[3] == 1 else 1)
        return full
    if op in ("select", "split", "split_with_sizes", "slice", "unbind"):
        full = np.zeros(np.shape(args[0]))
        axis, place = _part_of(node, *args[1:])
        index: list[Any] = [slice(None)] * full.ndim
        index[axis] = place
        full[tuple(index)] = g
        return full
    if op == "index":
        full = np.zeros(np.shape(args[0]))
        at: Any = tuple(slice(None) if i is None else i for i in args[1])
        np.add.at(full, at, g)
        return full
    if op == "cat":
        axis = args[1] if len(args) > 1 else 0
        start = sum(a.shape[axis] for a in args[0][: j[1]])
        return np.take(g, range(start, start + args[0][j[1]].shape[axis]), axis)
    return _by_autograd(node, j, args, g)


def _part_of(node: Node, *args: Any) -> tuple[int, Any]:
    """The axis along which an operation takes a part of an array, and the place of that part."""
    which = node.which or 0
    if node.op == "unbind":
        return args[0] if args else 0, which
    if node.op == "select":
        return args[0], args[1]
    if node.op == "slice":
        return args[0], slice(*args[1:])
    sizes = [args[0]] * (which + 1) if node.op == "split" else args[0]
    start = sum(sizes[:which])
    return args[1] if len(args) > 1 else 0, slice(start, start + sizes[which])


def _with_constant(node: Node, args: list[Any]) -> list[Any]:
    its, constant = node.kwargs["of"], node.kwargs["constant"]
    return [a + constant if i == its else a for i, a in enumerate(args)]


def _with_transposed(args: list[Any], its: int) -> list[Any]:
    return [a.T if i == its else a for i, a in enumerate(args)]


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """g, summed over the axes along which an argument of this shape was broadcast."""
    g = np.asarray(g)
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return np.asarray(g.sum(axis=repeated, keepdims=True)) if repeated else np.asarray(g)


def _permuted_back(g: Array, order: list[int]) -> Array:
    return g.transpose(np.argsort(order))


_DERIVATIVES: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda g, out, *_: g * out * (1 - out),
    "tanh": lambda g, out, *_: g * (1 - out * out),
    "relu": lambda g, out, *_: g * (out > 0),
    "exp": lambda g, out, *_: g * out,
    "log_sigmoid_forward": lambda g, _, a: g * np.exp(-np.logaddexp(0, a)),
    "abs": lambda g, _, a: g * np.sign(a),
    "neg": lambda g, *_: -g,
    "rsub": lambda g, *_: -g,
    "t": lambda g, *_: g.T,
    "transpose": lambda g, _, __, a, b: np.swapaxes(g, a, b),
    "permute": lambda g, _, __, order: _permuted_back(g, order),
    "view": lambda g, _, a, *__: g.reshape(a.shape),
    "_view": lambda g, _, a, *__: g.reshape(a.shape),
    "expand": lambda g, _, a, *__: unbroadcast(g, a.shape),
    "unsqueeze": lambda g, _, a, *__: g.reshape(a.shape),
    "squeeze": lambda g, _, a, *__: g.reshape(a.shape),
    "_log_softmax": lambda g, out, _, dim, *__: g - np.exp(out) * g.sum(axis=dim, keepdims=True),
    "pow": lambda g, _, a, power: g * power * a ** (power - 1),
    "sum": lambda g, _, a, *dims: np.broadcast_to(_with_dims(g, a, *dims), a.shape),
}


def _with_dims(g: Array, a: Array, dims: Any = (), keepdim: bool = False, *_: Any) -> Array:
    return np.expand_dims(g, tuple(d % a.ndim for d in dims)) if dims and not keepdim else g


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
        gradient = torch.autograd.grad(
            out, argument, torch.from_numpy(np.array(g)).to(out.dtype), materialize_grads=True
        )
    return np.asarray(gradient[0].resolve_conj().numpy())


def _tensors(a: Any) -> Any:
    if isinstance(a, np.ndarray | np.generic):
        return torch.from_numpy(np.array(a))
    return [_tensors(b) for b in a] if isinstance(a, list) else a
