"""Mistakes in the forward pass: another network is differentiated.

Each has three modes. The backward pass differentiates the altered forward pass; or it is the right
network's; or it is the right network's and gets right values at the altered operation. And wrong
values in the backward pass after a right forward pass: recomputed, or of other steps.
"""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from bptt_check.tracing.changes import MODES
from bptt_check.tracing.mistakes import Mistake, Part
from bptt_check.tracing.step import Step
from bptt_check.tracing.tape import Ref

_MOST_GATES = 4
_ACTIVATIONS = ("sigmoid", "tanh", "relu")
_CONSTANTS = (1, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)
_TAKE_CONSTANTS = (*_ACTIVATIONS, "log", "sqrt", "rsqrt", "div")


def forward_mistakes(step: Step) -> Iterator[Mistake]:
    """The altered forward passes of a step."""
    for user in step.inner:
        if not step.graph.users[user] or user in step.tape.losses:
            continue
        part = _operation("operation", step, user)
        for change, by in (*_edits(step, user), *_swaps(step, user)):
            rank = {"softmax's axis": 3, "takes": 5}.get(change, 4)
            modes = MODES[:2] if change == "constant" else MODES
            for extra, mode in enumerate(modes):
                yield Mistake(part, change, (mode, *by), "", rank + extra, step.where(user))
    yield from _data(step)
    yield from _orders(step)


def value_mistakes(step: Step) -> Iterator[Mistake]:
    """An activation of which the backward pass takes another value wherever it uses it."""
    for user in step.inner:
        node, where = step.tape.nodes[user], step.where(user)
        if node.op not in _ACTIVATIONS or not step.graph.users[user]:
            continue
        part = _operation("taken", step, user)
        for op in (op for op in _ACTIVATIONS if op != node.op):
            yield Mistake(part, "another function", (op,), "", 4, where)
        yield Mistake(part, "function missing", (), "", 4, where)
        state = step.tape.nodes[node.args[0]].site
        for place in ("_(t+1)", "_(t-1)") if state in step.states else ():
            moved = step.state(state)._replace(shift=place)
            yield Mistake(part, "takes", (0, moved), "", 4, where)


def _operation(kind: str, step: Step, user: int) -> Part:
    node = step.tape.nodes[user]
    return Part(kind, step.name(user), site=node.site, op=node.op)


def _edits(step: Step, user: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    node, values = step.tape.nodes[user], step.tape.values
    op, inputs = node.op, [a for a in node.args if isinstance(a, Ref)]
    names, shapes = [step.name(a) for a in inputs], [np.shape(values[a]) for a in inputs]
    shape, is_binary = np.shape(values[user]), len(inputs) == 2 == len(node.args)
    if op in ("add", "mul", "sub") and is_binary and np.broadcast_shapes(*shapes) == shape:
        yield "missing", (0, names[1])
        yield "missing", (1, names[0])
    if op == "add" and is_binary and not node.kwargs:
        yield "subtracted", (names[1],)
    if op == "mul" and is_binary:
        yield "factors added", ()
        yield "factors divided", ()
    if op == "rsub" and len(node.args) == 2:
        yield "added", (names[0],)
    if op in _ACTIVATIONS:
        yield "function missing", ()
        yield from (("another function", (other,)) for other in _ACTIVATIONS if other != op)
    if op in _TAKE_CONSTANTS:
        its = (1, "denominator") if op == "div" else (0, "argument")
        yield from (("constant", (constant, *its)) for constant in _CONSTANTS)
    if op in ("mm", "mul", "tanh", "sigmoid"):
        yield "negated", ()
    for j, a in enumerate(inputs) if op == "mm" else ():
        if len(set(shapes[j])) == 1 and a in step.leaf:
            yield "transposed", (j, names[j])
    if op == "sigmoid":
        yield "complement", ()
    for axis in range(len(shape)) if op in ("_log_softmax", "_softmax") else ():
        if axis != node.args[1] % len(shape):
            yield "softmax's axis", (axis,)


def _swaps(step: Step, user: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    node, values = step.tape.nodes[user], step.tape.values
    if node.op not in ("mm", "mul", "add", "sub", "tanh", "sigmoid"):
        return
    for j, a in enumerate(node.args):
        if not isinstance(a, Ref) or step.tape.nodes[a].op == "constant":
            continue
        is_leaf, initial = a in step.leaf, set(step.initial.values())
        for quantity, index in step.quantities:
            fits = np.shape(values[index]) == np.shape(values[a]) and index < user
            if index != a and fits and (index in step.leaf and index not in initial) == is_leaf:
                yield "takes", (j, quantity, step.name(a))


def _data(step: Step) -> Iterator[Mistake]:
    """Arguments taken from another step, or set to zero."""
    initial = set(step.initial.values())
    for name, argument in step.tape.network.arguments.items():
        its = Part("arguments", name, names=(name,))
        if argument.time_axis is not None:
            for by in (1, -1):
                yield Mistake(its, "of another step", (by,), rank=4)
            yield Mistake(its, "reversed in time", rank=3)
        elif step.tape.arguments[name] in initial:
            yield Mistake(its, "ignored", rank=3)
            for other, index in step.tape.arguments.items():
                if index in initial and other != name:
                    yield Mistake(its, "another's", (other,), rank=3)


def _orders(step: Step) -> Iterator[Mistake]:
    """The gates of arguments such as `4*hidden`, concatenated in another order."""
    arguments = step.tape.network.arguments
    counts = {n: max(axis.parts for axis in a.axes) for n, a in arguments.items() if a.axes}
    gated = tuple(n for n, count in counts.items() if count > 1)
    if len({counts[n] for n in gated}) != 1 or counts[gated[0]] > _MOST_GATES:
        return
    gates = tuple(step.gates(counts[gated[0]]))
    for names in (gated, *((name,) for name in gated if len(gated) > 1)):
        for order in permutations(range(len(gates))):
            if list(order) != sorted(order):
                yield Mistake(
                    Part("arguments", names=names), "gates in order", (order, gates), rank=1
                )
    yield Mistake(Part("arguments", names=gated), "gates interleaved", (len(gates),), rank=1)
