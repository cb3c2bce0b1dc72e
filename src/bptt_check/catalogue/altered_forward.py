"""Mistakes in the forward pass: another network is differentiated.

Each mistake has three kinds. The backward pass differentiates the altered forward pass; or it is
the right network's; or it is the right network's and gets right values at the altered operation.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from itertools import permutations
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.calls import call
from bptt_check.tracing.reverse import Gradients, Graph, Mistake
from bptt_check.tracing.step import Getter, Step
from bptt_check.tracing.tape import Node, Ref, Tape

Edit = Callable[[Graph, Node], Node]
_MOST_GATES = 4
_KINDS = {
    "consistent": "",
    "right backward": " (the backward pass is the right network's)",
    "right values": ", but not in the backward pass",
}


def forward_mistakes(step: Step) -> Iterator[Mistake]:
    """The altered forward passes of a step."""
    for sentence, user, rank, edit in _edits(step):
        for extra, (kind, note) in enumerate(_KINDS.items()):
            site = step.tape.nodes[user].site
            graph = _altered(site, edit, kind)
            text = f"in the forward pass {sentence}{note}"
            yield Mistake(text, step.where(user), rank + extra, forward=graph)
    for text, rank, changed_arguments in _data(step):
        yield Mistake(text, rank=rank, forward=_other_data(changed_arguments))
    yield from _orders(step)


def _altered(site: int, edit: Edit, kind: str) -> Callable[[Graph], Graph]:
    def forward(right: Graph) -> Graph:
        tape = right.tape
        nodes, values = _rerun(right, site, edit)
        if kind == "consistent":
            return right.edited(nodes, values)
        if kind == "right values":
            altered = [i for i, n in enumerate(tape.nodes) if n.site == site]
            exact = {
                i: call(tape.nodes[i], tape.arg_values(tape.nodes[i], values)) for i in altered
            }
            values = [exact.get(i, v) for i, v in enumerate(values)]
        return right.with_values(values)

    return forward


@lru_cache(maxsize=1)  # the three kinds are tried one after the other
def _rerun(right: Graph, site: int, edit: Edit) -> tuple[list[Node], list[Array]]:
    nodes = [edit(right, n) if n.site == site else n for n in right.tape.nodes]
    return nodes, right.rerun(nodes)


def _edits(step: Step) -> Iterator[tuple[str, int, int, Edit]]:
    nodes, values = step.tape.nodes, step.tape.values
    for user in step.inner:
        node, label = nodes[user], step.name(user)
        inputs = [a for a in node.args if isinstance(a, Ref)]
        if not step.graph.users[user] or user in step.tape.losses:
            continue
        if node.op in ("add", "mul", "sub") and len(inputs) == 2 == len(node.args):
            for j in (0, 1):
                copied = np.broadcast_shapes(*(np.shape(values[i]) for i in inputs))
                missing = f"{step.name(inputs[1 - j])} is missing in {label}"
                if copied == np.shape(values[user]):
                    yield missing, user, 4, _as("copy of an argument", of=j)
        if node.op == "add" and len(inputs) == 2 == len(node.args) and not node.kwargs:
            minus = f"{step.name(inputs[1])} is subtracted, not added, in {label}"
            yield minus, user, 4, _as("sub")
        if node.op == "mul" and len(inputs) == 2 == len(node.args):
            yield f"the factors of {label} are added, not multiplied", user, 4, _as("add")
            yield f"the factors of {label} are divided, not multiplied", user, 4, _as("div")
        if node.op == "rsub" and len(node.args) == 2:
            yield (
                f"{step.name(inputs[0])} is added, not subtracted, in {label}",
                user,
                4,
                _as("add"),
            )
        if node.op in ("sigmoid", "tanh", "relu"):
            yield f"{node.op} is missing in {label}", user, 4, _as("copy of an argument", of=0)
            shifted = f"1 is added to the argument of {label} = {node.op}(...)"
            yield shifted, user, 4, _wrapped("plus one inside")
            for op in {"sigmoid", "tanh", "relu"} - {node.op}:
                yield f"{op} replaces {node.op} in {label}", user, 4, _as(op)
        if node.op in ("mm", "mul", "tanh", "sigmoid"):
            yield f"{label} has the wrong sign", user, 4, _wrapped("minus")
        if node.op == "mm":
            for j, a in enumerate(inputs):
                if len(set(np.shape(values[a]))) == 1 and a in step.leaf:
                    text = f"{step.name(a)} is transposed in {label}"
                    yield text, user, 4, _wrapped(f"transposed {j}")
        if node.op == "sigmoid":
            yield f"1 - {label} replaces {label}", user, 4, _wrapped("one minus")
        if node.op in ("_log_softmax", "_softmax"):
            for axis in range(len(values[user].shape)):
                if axis != node.args[1] % values[user].ndim:
                    yield f"the softmax is over axis {axis}", user, 3, _argument(1, axis)
        if node.op in ("mm", "mul", "add", "sub", "tanh", "sigmoid"):
            yield from _swaps(step, user)


def _swaps(step: Step, user: int) -> Iterator[tuple[str, int, int, Edit]]:
    node, values = step.tape.nodes[user], step.tape.values
    for j, a in enumerate(node.args):
        if not isinstance(a, Ref) or step.tape.nodes[a].op == "constant":
            continue
        is_leaf, initial = a in step.leaf, set(step.initial.values())
        for label, index, get in step.quantities:
            fits = np.shape(values[index]) == np.shape(values[a]) and index < user
            if index != a and fits and (index in step.leaf and index not in initial) == is_leaf:
                text = f"{label} replaces {step.name(a)} in {step.name(user)}"
                yield text, user, 5, _taking(j, get)


def _as(op: str, **kwargs: Any) -> Edit:
    return lambda _, node: replace(node, op=op, func=None, kwargs=kwargs)


def _wrapped(op: str) -> Edit:
    return lambda _, node: replace(node, op=op, func=node)


def _argument(at: int, value: Any) -> Edit:
    return lambda _, node: replace(node, args=[*node.args[:at], value, *node.args[at + 1 :]])


def _taking(j: int, get: Getter) -> Edit:
    def edit(graph: Graph, node: Node) -> Node:
        index = get(graph, node.step)
        if index is None:
            return node
        return replace(node, args=[*node.args[:j], Ref(index), *node.args[j + 1 :]])

    return edit


def _data(step: Step) -> Iterator[tuple[str, int, Callable[[Tape], dict[str, Array]]]]:
    """Arguments taken from another step, or set to zero."""
    initial = set(step.initial.values())
    for name, argument in step.tape.network.arguments.items():
        axis = argument.time_axis
        if axis is not None:
            for text, shift in (("previous step", 1), ("next step", -1)):
                sentence = f"the forward pass takes {name} of the {text}, wrapping around"
                yield sentence, 4, _changed(name, partial(np.roll, shift=shift, axis=axis))
            reverse = partial(np.flip, axis=axis)
            yield f"{name} is reversed in time", 3, _changed(name, reverse)
        elif step.tape.arguments[name] in initial:
            yield f"the initial state {name} is ignored: zero", 3, _changed(name, np.zeros_like)
            for other, index in step.tape.arguments.items():
                if index in initial and other != name:
                    sentence = f"the initial state {name} is {other}"
                    yield sentence, 3, partial(_taken_from, name, other)


def _orders(step: Step) -> Iterator[Mistake]:
    """The gates of arguments such as `4*hidden`, concatenated in another order."""
    arguments = step.tape.network.arguments
    gated = {n: i for n, a in arguments.items() for i, x in enumerate(a.axes) if x.parts > 1}
    counts = {arguments[n].axes[i].parts for n, i in gated.items()}
    if len(counts) != 1 or max(counts) > _MOST_GATES:
        return
    gates = step.gates(max(counts))
    for names in ([*gated], *([name] for name in gated if len(gated) > 1)):
        axes, note = {n: gated[n] for n in names}, f" in {names[0]}" if len(names) == 1 else ""
        for order in permutations(range(len(gates))):
            if list(order) != sorted(order):
                wrong = ", ".join(gates[k] for k in order)
                text = f"the gates are in the order {wrong}{note}, not {', '.join(gates)}"
                inverse = partial(_blocks, order=tuple(int(k) for k in np.argsort(order)))
                yield Mistake(
                    text,
                    rank=1,
                    forward=_other_data(partial(_changed_parts, axes, inverse)),
                    final=partial(_restored, axes, partial(_blocks, order=order)),
                )
    count = len(gates)
    yield Mistake(
        "the gates are interleaved unit by unit, not concatenated",
        rank=1,
        forward=_other_data(partial(_changed_parts, gated, partial(_transposed, rows=count))),
        final=partial(_restored, gated, partial(_transposed, rows=-count)),
    )


def _blocks(value: Array, axis: int, order: tuple[int, ...]) -> Array:
    parts = np.split(value, len(order), axis)
    return np.concatenate([parts[k] for k in order], axis)


def _transposed(value: Array, axis: int, rows: int) -> Array:
    """An axis of rows x n rearranged as n x rows; a negative number of rows inverts that."""
    last = np.moveaxis(value, axis, -1)
    shape = (-1, rows) if rows > 0 else (-rows, -1)
    transposed = last.reshape(*last.shape[:-1], *shape).swapaxes(-1, -2).reshape(last.shape)
    return np.moveaxis(transposed, -1, axis)


def _changed_parts(gated: dict[str, int], change: Any, tape: Tape) -> dict[str, Array]:
    return {n: change(tape.problem.values[n], axis) for n, axis in gated.items()}


def _restored(gated: dict[str, int], change: Any, _: Tape, found: Gradients) -> Gradients:
    return {n: change(g, gated[n]) if n in gated else g for n, g in found.items()}


def _taken_from(name: str, other: str, tape: Tape) -> dict[str, Array]:
    return {name: tape.problem.values[other]}


def _changed(name: str, change: Callable[[Array], Array]) -> Callable[[Tape], dict[str, Array]]:
    return lambda tape: {name: change(tape.problem.values[name])}


def _other_data(changed_arguments: Callable[[Tape], dict[str, Array]]) -> Callable[[Graph], Graph]:
    def forward(right: Graph) -> Graph:
        return right.with_values(right.rerun(right.nodes, changed_arguments(right.tape)))

    return forward
