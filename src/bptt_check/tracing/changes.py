"""What each named change of a mistake does: one table of small functions for each kind of part.

`gradients(graph, mistake, ...)` runs mistakes: those of the forward pass first, then those of the
reverse pass, then those of the finished gradients.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import torch

from bptt_check.networks.network import Array
from bptt_check.tracing.calls import call
from bptt_check.tracing.mistakes import OWN, Edge, Mistake, Part, Quantity
from bptt_check.tracing.reverse import Altered, Contribution, Gradients, Graph, Noise, Reverse
from bptt_check.tracing.tape import Node, Ref, Tape

#: Whether a change is made at step t of T.
STEPS: dict[str, Callable[[int, int], bool]] = {
    "": lambda t, T: True,
    "first": lambda t, T: t == 0,
    "last": lambda t, T: t == T - 1,
    "not first": lambda t, T: t > 0,
    "not last": lambda t, T: t < T - 1,
}
Shift = Callable[[Callable[[int], Any], int, int], Any]
#: A quantity of another step: the effects of `t - 1`, `t + 1` and `-1` at the ends; at(t) is it.
SHIFTS: dict[str, Shift] = {
    "of the previous step, wrapping around": lambda at, t, T: at((t - 1) % T),
    "of the previous step, repeated at the first": lambda at, t, T: at(max(t - 1, 0)),
    "of the previous step, zero at the first": lambda at, t, T: at(max(t - 1, 0)) * (t > 0),
    "of the next step, repeated at the last": lambda at, t, T: at(min(t + 1, T - 1)),
    "of the next step, zero at the last": lambda at, t, T: at(min(t + 1, T - 1)) * (t + 1 < T),
    "of the next step, wrapping around": lambda at, t, T: at((t + 1) % T),
    "reversed in time": lambda at, t, T: at(T - 1 - t),
    "of the first step at every step": lambda at, t, T: at(0),
    "of the last step at every step": lambda at, t, T: at(T - 1),
    "zero at the first step": lambda at, t, T: at(t) * (t > 0),
    "zero at the last step": lambda at, t, T: at(t) * (t < T - 1),
}
#: A state, from an array with the initial state in its last place; at(T) is the initial state.
PLACES: dict[str, Shift] = {
    "_(t+1)": lambda at, t, T: at((t + 1) % (T + 1)),
    "_(t-1)": lambda at, t, T: at((t - 1) % (T + 1)),
    "_(t-2)": lambda at, t, T: at((t - 2) % (T + 1)),
}
_EVERY_SHIFT: dict[str, Shift] = {
    "": lambda at, t, T: at(t),
    "next": lambda at, t, T: at(t + 1),
    "previous": lambda at, t, T: at(t - 1),
    "first": lambda at, t, T: at(0),
    "last": lambda at, t, T: at(T - 1),
    "last at the first step": lambda at, t, T: at((t - 1) % T),
    **SHIFTS,
    **PLACES,
}
OF_VALUE: dict[str, Callable[[Any], Any]] = {
    "v": lambda v: v,
    "1 - v": lambda v: 1 - v,
    "1 + v": lambda v: 1 + v,
    "2 - v": lambda v: 2 - v,
    "-v": lambda v: -v,
}

#: Forms of the derivative of an activation, times g, at a value v.
FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "v (1 - v)": lambda g, v: g * v * (1 - v),
    "1 - v^2": lambda g, v: g * (1 - v * v),
    "1 - v": lambda g, v: g * (1 - v),
    "1 - 2 v": lambda g, v: g * (1 - 2 * v),
    "-v^2": lambda g, v: -g * v * v,
    "2 - v^2": lambda g, v: g * (2 - v * v),
    "(1 - v)^2": lambda g, v: g * (1 - v) ** 2,
    "v (1 + v)": lambda g, v: g * v * (1 + v),
    "v": lambda g, v: g * v,
    "v^2": lambda g, v: g * v * v,
    "1 + v^2": lambda g, v: g * (1 + v * v),
    "sigmoid(v)": lambda g, v: g / (1 + np.exp(-v)),
    "sigmoid'(v)": lambda g, v: g / (2 + np.exp(v) + np.exp(-v)),
    "tanh(v)": lambda g, v: g * np.tanh(v),
    "tanh'(v)": lambda g, v: g * (1 - np.tanh(v) ** 2),
    "1 / (1 - v^2)": lambda g, v: g / (1 - v * v),
    "v (2 - v)": lambda g, v: g * v * (2 - v),
    "v / (1 - v)": lambda g, v: g * v / (1 - v),
    "(1 - v) / v": lambda g, v: g * (1 - v) / v,
    "v + (1 - v), not v (1 - v)": lambda g, v: g * v + (1 - v),
    "1 - v, after v is added and not multiplied": lambda g, v: (g + v) * (1 - v),
    "1 / (v (1 - v))": lambda g, v: g / (v * (1 - v)),
    "(1 - v^2)^2": lambda g, v: g * (1 - v * v) ** 2,
    "(v (1 - v))^2": lambda g, v: g * (v * (1 - v)) ** 2,
    "1 - v^2 without its brackets": lambda g, v: g * 1 - v * v,
    "v - v^2 without its brackets": lambda g, v: g * v - v * v,
    "1 - v^2, added and not multiplied": lambda g, v: g + 1 - v * v,
    "v (1 - v), added and not multiplied": lambda g, v: g + v * (1 - v),
    "1 where v > 0": lambda g, v: g * (v > 0),
    "1 where v >= 0": lambda g, v: g * (v >= 0),
}


def node_of(graph: Graph, q: Quantity, step: int, own: int) -> int | None:
    """The node of a quantity at a step; `own`: the site of the changed operation."""
    node_at, site = graph.tape.node_at, own if q.site == OWN else q.site
    if q.shift in PLACES and step == len(graph.tape.losses):
        return _initial(graph, site)
    index = node_at.get((site, step))
    if q.j is None or index is None:
        return node_at.get((site, -1)) if q.j is index is None else index
    args = graph.nodes[index].args
    return args[q.j] if isinstance(q.j, int) else args[q.j[0]][q.j[1]]


def _initial(graph: Graph, state: int) -> int | None:
    """The node of a state's initial value."""
    for (site, j), source in graph.crossing.items():
        if source == state and isinstance(j, int) and (site, 0) in graph.tape.node_at:
            first: int = graph.nodes[graph.tape.node_at[site, 0]].args[j]
            return first
    return None


def value(c: Contribution, q: Quantity) -> Any:
    """The value of a quantity at the contribution's step, or as its shift says."""
    graph, own = c.reverse.graph, c.node.site
    at = lambda step: c.value(node_of(graph, q, step, own))  # noqa: E731
    return OF_VALUE[q.form](_EVERY_SHIFT[q.shift](at, c.step, c.steps))


def _from_gradient(c: Contribution, q: Quantity) -> Array | None:
    """The contribution, made from the gradient of another quantity."""
    graph, own = c.reverse.graph, c.node.site
    at = lambda step: node_of(graph, q, step, own)  # noqa: E731
    index = _EVERY_SHIFT[q.shift](at, c.step, c.steps)
    g = None if index is None else c.reverse.of(index)
    return None if g is None else c.base(g)


def _of_first_step(c: Contribution, site: int) -> Array | None:
    return c.reverse.of(c.reverse.graph.tape.node_at[site, 0])


def _of_own_loss(c: Contribution) -> Array | None:
    g = Reverse(c.reverse.graph, Altered(window=0), c.step).of(c.user)
    return None if g is None else c.base(g)


def _summed(c: Contribution, uses: tuple[Edge, ...], start: int) -> Array:
    """With a weight's gradient for the weight, as the loop of the backward pass has it."""
    total, node_at = 0 * c.args[1 - c.j], c.reverse.graph.tape.node_at
    for t in range(c.step + start, c.steps):
        for site, j in uses:
            part = c.reverse.part(node_at[site, t], j)
            total = total if part is None else total + part
    return c.times(total)


def _from(c: Contribution, sources: Part) -> Any:
    """The part of the gradient that comes from these sources."""
    graph, total = c.reverse.graph, 0 * c.g
    for user, j in graph.users[graph.tape.node_at[sources.site, c.step]]:
        if (graph.nodes[user].site, j) in sources.edges:
            part = c.reverse.part(user, j)
            total = total if part is None else total + part
    return total


def _bare(c: Contribution, sources: Part) -> Array:
    part = _from(c, sources)
    return c.base(c.g - part) + part


def _with_index(c: Contribution, moved: Quantity) -> Array:
    index, args = np.asarray(value(c, moved)).astype(int), list(c.args)
    is_list = isinstance(args[1], list)
    args[1] = [index if a is not None else a for a in args[1]] if is_list else index
    return c.base(args=args)


def _last_index(c: Contribution) -> Array:
    full, index = np.zeros(np.shape(c.args[0])), c.args[1]
    is_list = isinstance(index, list)
    full[tuple(slice(None) if i is None else i for i in index) if is_list else index] = c.g
    return full


def _first_example(c: Contribution, axis: int) -> Array:
    g, example = np.zeros_like(c.g), (slice(None),) * axis + (slice(0, 1),)
    g[example] = c.g[example]
    return c.base(g)


def _exp(c: Contribution, *axes: int | None) -> Array:
    """The exponentials of the logits, after their maximum over each of these axes is subtracted."""
    a = c.args[0]
    for axis in axes:
        a = a - a.max(axis, keepdims=True)
    return np.asarray(np.exp(a))


def _over(e: Array, axis: int | None, by: Any = np.sum) -> Array:
    return np.asarray(e / by(e, axis, keepdims=True))


def _softmax(c: Contribution, axis: int, p: Any) -> Array:
    """The error of a softmax with other probabilities; c.g is -1 at the target."""
    return np.asarray(c.g - p * c.g.sum(axis, keepdims=True))


def _member(c: Contribution, site: int) -> int:
    return c.reverse.graph.tape.node_at[site, c.step]


def _placed(c: Contribution, site: int, g: Array) -> Array:
    """g at the entries of this part of an array, 0 elsewhere."""
    return c.reverse.graph.back(_member(c, site), 0, g)


def _part_of(c: Contribution, site: int) -> Array:
    graph, index = c.reverse.graph, _member(c, site)
    return call(graph.nodes[index], [c.g, *graph.args_of(index)[1:]])


def _exchanged(c: Contribution, part: Quantity, other: Quantity | None = None) -> Array:
    """Without this part, or with another part in its place."""
    g = c.g - _placed(c, part.site, _part_of(c, part.site))
    return c.base(g if other is None else g + _placed(c, part.site, _part_of(c, other.site)))


def _before_derivatives(c: Contribution, *parts: Quantity) -> Array | None:
    total: Any = 0 * c.g
    for site in [part.site for part in parts]:
        users = c.reverse.graph.users[_member(c, site)]
        g = c.reverse.of(users[0][0]) if len(users) == 1 else None
        if g is None or np.shape(g) != np.shape(_part_of(c, site)):
            return None
        total = total + _placed(c, site, g)
    return c.base(total)


def _in_order(c: Contribution, order: tuple[int, ...], *parts: Quantity) -> Array:
    sites = [part.site for part in parts]
    return _placed(c, sites[order[sites.index(c.node.site)]], c.g)


def _reshaped(a: Array) -> Array:
    return np.ascontiguousarray(a).reshape(a.T.shape).T


def _accumulated(reverse: Reverse, state: int, step: int) -> Array:
    total: Any = reverse.crossing(state, step)
    previous = reverse.carried.get((state, step + 1))
    if previous is None or np.shape(previous) != np.shape(total):
        return total
    return total + previous


#: Changes of any array g: a contribution, an error passed back to a state, a finished gradient.
ARRAYS: dict[str, Callable[..., Any]] = {
    "cut": lambda g: 0 * g,
    "factor": lambda g, f: g * f,
    "starts from 1": lambda g: g + 1.0,
    "clipped": lambda g, size: np.clip(g, -size, size),
    "rounded": lambda g: g.astype(np.float32).astype(np.float64),
    "summed over later steps": lambda g, axis: np.flip(np.flip(g, axis).cumsum(axis), axis),
    "of another step": lambda g, axis, by: np.roll(g, by, axis),
    "transposed": lambda g: g.swapaxes(-1, -2),
    "reshaped": lambda g: g.swapaxes(-1, -2).reshape(g.shape),
    "rows reversed": lambda g: g[::-1],
    "summed over its axis": lambda g: np.broadcast_to(g.sum(), np.shape(g)),
}
#: Changes of a contribution c; None is zero.
EDGES: dict[str, Callable[..., Any]] = {
    "cut": lambda c, *kept: None,
    "without its derivative": lambda c: c.g,
    "factor divided": lambda c: c.g / c.args[1 - c.j],
    "factor added": lambda c: c.g + c.args[1 - c.j],
    "own factors": lambda c: c.g * c.args[c.j],
    "not conjugated": lambda c: c.times(np.conj(c.args[1 - c.j])),
    "derivative": lambda c, form, q: FORMS[form](c.g, value(c, q)),
    "v of the derivative": lambda c, v: c.g * value(c, v) * (1 - c.out),
    "w of the derivative": lambda c, w: c.g * c.out * (1 - value(c, w)),
    "operand": lambda c, q: c.times(value(c, q)),
    "operand transposed": lambda c: c.times(c.args[1 - c.j].T),
    "operand reshaped": lambda c: c.times(_reshaped(c.args[1 - c.j])),
    "operand reversed": lambda c: c.times(np.flip(c.args[1 - c.j], c.j - 1)),
    "operand's gradient": _summed,
    "last of equal indices": _last_index,
    "index": _with_index,
    "target": lambda c, q: c.times(value(c, q)),
    "sign for value": lambda c: c.g * 2 * np.sign(c.args[0]),
    "factor 2 left out": lambda c: c.base() / 2,
    "no target": lambda c, axis: c.base() - c.g,
    "no probabilities": lambda c, axis: c.g,
    "target added": lambda c, axis: c.base() - 2 * c.g,
    "target assigned": lambda c, axis: np.where(c.g != 0, -c.g, c.base()),
    "targets everywhere": lambda c, axis: c.base() - c.g + c.g.sum(axis, keepdims=True),
    "targets shared": lambda c, axis, wrong: c.base() - c.g + c.g.min(wrong, keepdims=True),
    "slope": lambda c, axis: c.base() * np.exp(c.out) * (1 - np.exp(c.out)),
    "diagonal": lambda c, axis: c.g * (1 - np.exp(c.out)),
    "over another": lambda c, axis, name: _softmax(
        c, axis, _over(_exp(c, axis), axis, {"maximum": np.max, "mean": np.mean}[name])
    ),
    "wrong maximum": lambda c, axis, wrong: _softmax(c, axis, _over(_exp(c, axis, wrong), axis)),
    "wrong sum": lambda c, axis, wrong, less: _softmax(c, axis, _over(_exp(c, less), wrong)),
    "probabilities": lambda c, axis, q: _softmax(c, axis, np.exp(value(c, q))),
    "gradient of": _from_gradient,
    "gradient from next": lambda c, q: c.base(c.reverse.crossing(q.site, c.step + 1) + 0 * c.g),
    "value for gradient": lambda c, q: c.base(value(c, q)),
    "own loss alone": _of_own_loss,
    "lacks": lambda c, sources: c.base(c.g - _from(c, sources)),
    "only": lambda c, sources: c.base(_from(c, sources)),
    "bare": _bare,
    "next for own": lambda c, own: c.base(c.g if c.step == c.steps - 1 else c.g - _from(c, own)),
    "first example": _first_example,
    "maximum over batch": lambda c, axis: c.g.max(axis).reshape(np.shape(c.base())),
    "mean over batch": lambda c: c.base() / c.reverse.graph.tape.problem.sizes["batch"],
    "gates in order": _in_order,
    "lacks part": _exchanged,
    "part for part": _exchanged,
    "before derivatives": _before_derivatives,
    "gradient of first state": lambda c, q, end: (
        _of_first_step(c, q.site) if c.edge == end else None
    ),
    "stops early": lambda c, *ends: (  # an end: a contribution, and the state that it is made to
        _of_first_step(c, dict(ends)[c.edge]) if c.edge in dict(ends) else None
    ),
    "forward in time": lambda c, *ends: (
        c.base() + c.reverse.crossing(dict(ends)[c.edge], c.step - 1)
    ),
}
#: Changes of the error passed back to a state s from step t of a reverse pass r.
CARRIES: dict[str, Callable[..., Any]] = {
    "accumulated": _accumulated,
    "dropped": lambda r, s, t, k: r.crossing(s, t) * (t % k != 0),
    "doubled": lambda r, s, t, k: r.crossing(s, t) * (1 + (t % k == 0)),
    "shifted": lambda r, s, t, k, by: 0 * r.crossing(s, t) + r.crossing(s, t if t % k else t + by),
    "swapped": lambda r, s, t, a, b: r.crossing(b if s == a else a, t),
    "forward in time": lambda r, s, t, *ends: (
        r.crossing(s, len(r.graph.tape.losses) - 1) if t == 0 else np.zeros(())
    ),
}
#: Changes of all finished gradients g: those of these names.
ANSWERS: dict[str, Callable[..., Gradients]] = {
    "divided": lambda g, tape, names, *axes: _times(
        g, names, 1 / prod(tape.problem.sizes[axis] for axis in axes)
    ),
    "multiplied": lambda g, tape, names, *axes: _times(
        g, names, prod(tape.problem.sizes[axis] for axis in axes)
    ),
    "mean squared": lambda g, tape, names: _times(g, names, 2 / max(1, _targets_size(tape))),
    "norm clipped": lambda g, tape, names, size: _norm_clipped(g, names, size),
    "itself": lambda g, tape, names: {n: np.asarray(tape.problem.values[n], float) for n in names},
    "another's": lambda g, tape, names, other: {names[0]: g[other]},
    "swapped": lambda g, tape, names: {names[0]: g[names[1]], names[1]: g[names[0]]},
}


def norm(arrays: Iterable[Array]) -> float:
    """The Euclidean norm of all entries."""
    return float(np.sqrt(sum(float((a * a).sum()) for a in arrays)))


def _times(found: Gradients, names: Iterable[str], factor: float) -> Gradients:
    return {n: found[n] * factor for n in names if n in found}


def _norm_clipped(found: Gradients, names: Iterable[str], size: int | float) -> Gradients:
    its = norm(found[n] for n in names if n in found)
    return _times(found, names, min(1.0, size / its) if its > 0 else 1.0)


def _targets_size(tape: Tape) -> int:
    roles = tape.network.arguments
    sizes = [v.size for n, v in tape.problem.values.items() if roles[n].role == "targets"]
    return max(sizes, default=1)


def finished(mistake: Mistake, tape: Tape, found: Gradients) -> Gradients:
    """These gradients, changed by a mistake in the finished gradients; others change nothing."""
    part, change, by = mistake.part, mistake.change, mistake.by
    if part.kind == "arguments" and change in GATES:  # back to the places of the right network
        axes = _gate_axes(tape, part.names)
        return {
            n: GATES[change][1](g, axes[n], by[0]) if n in axes else g for n, g in found.items()
        }
    if part.kind != "answer":
        return found
    if change in ANSWERS:
        return {**found, **ANSWERS[change](found, tape, part.names, *by)}
    return found | {n: ARRAYS[change](found[n], *by) for n in part.names if n in found}


def _as(node: Node, op: str) -> Node:
    return replace(node, op=op, func=None, kwargs={})


def _by(node: Node, function: Callable[..., Any]) -> Node:
    """Another function of the same arguments, in torch."""
    return replace(node, op="altered", func=function, kwargs={})


def _own(node: Node, *args: Any) -> Any:
    return node.func(*args, **node.kwargs)


def _argument(node: Node, at: int, to: Any) -> Node:
    return replace(node, args=[*node.args[:at], to, *node.args[at + 1 :]])


def _taking(graph: Graph, node: Node, at: int, q: Quantity, *_: Any) -> Node:
    index = _EVERY_SHIFT[q.shift](
        lambda step: node_of(graph, q, step, node.site), node.step, len(graph.tape.losses)
    )
    return node if index is None else _argument(node, at, Ref(index))


#: Changes of an operation: a node of a graph.
OPERATIONS: dict[str, Callable[..., Node]] = {
    "missing": lambda graph, node, j, *_: _by(
        node, lambda *args: torch.broadcast_tensors(*args)[j]
    ),
    "subtracted": lambda graph, node, _: _as(node, "sub"),
    "added": lambda graph, node, _: _as(node, "add"),
    "factors added": lambda graph, node: _as(node, "add"),
    "factors divided": lambda graph, node: _as(node, "div"),
    "function missing": lambda graph, node: _by(node, lambda a: a),
    "constant": lambda graph, node, c, j, _: _by(
        node, lambda *args: _own(node, *args[:j], args[j] + c, *args[j + 1 :])
    ),
    "another function": lambda graph, node, op: _as(node, op),
    "negated": lambda graph, node: _by(node, lambda *args: -_own(node, *args)),
    "complement": lambda graph, node: _by(node, lambda *args: 1 - _own(node, *args)),
    "transposed": lambda graph, node, j, _: _by(
        node, lambda *args: _own(node, *args[:j], args[j].T, *args[j + 1 :])
    ),
    "softmax's axis": lambda graph, node, axis: _argument(node, 1, axis),
    "takes": _taking,
}
#: Where the altered operation is differentiated: the backward pass may be the right network's.
MODES = ("consistent", "right backward", "right values")


@lru_cache(maxsize=1)  # the modes are tried one after the other
def _rerun(
    right: Graph, site: int, change: str, by: tuple[Any, ...]
) -> tuple[list[Node], list[Array]]:
    nodes = [OPERATIONS[change](right, n, *by) if n.site == site else n for n in right.tape.nodes]
    return nodes, right.rerun(nodes)


def _recomputed(right: Graph, nodes: Iterable[Node], site: int, values: list[Array]) -> Graph:
    """The values of these nodes of a site, and all others as given."""
    tape = right.tape
    exact = (
        call(n, tape.arg_values(n, values)) if n.site == site else v
        for n, v in zip(nodes, values, strict=True)
    )
    return right.with_values([*exact])


def _operation(right: Graph, mistake: Mistake) -> Graph:
    """Another forward pass, or only other values of one operation in the backward pass."""
    site, change, by = mistake.part.site, mistake.change, mistake.by
    if mistake.part.kind == "taken":
        edit = OPERATIONS[change]
        edited = (edit(right, n, *by) if n.site == site else n for n in right.nodes)
        return _recomputed(right, edited, site, right.values)
    nodes, values = _rerun(right, site, change, by[1:])
    if by[0] == "consistent":
        return right.edited(nodes, values)
    if by[0] == "right values":
        return _recomputed(right, right.tape.nodes, site, values)
    return right.with_values(values)


def _blocks(a: Array, axis: int, by: tuple[int, ...]) -> Array:
    parts = np.split(a, len(by), axis)
    return np.concatenate([parts[k] for k in by], axis)


def _interleaved(a: Array, axis: int, by: int) -> Array:
    """An axis of `by` x n rearranged as n x `by`; a negative number of rows inverts that."""
    last = np.moveaxis(a, axis, -1)
    shape = (-1, by) if by > 0 else (-by, -1)
    moved = last.reshape(*last.shape[:-1], *shape).swapaxes(-1, -2).reshape(last.shape)
    return np.moveaxis(moved, -1, axis)


#: Other arguments a of the forward pass, with their time axis.
ARGUMENTS: dict[str, Callable[..., Any]] = {
    "of another step": lambda a, axis, by: np.roll(a, by, axis),
    "reversed in time": lambda a, axis: np.flip(a, axis),
    "ignored": lambda a, axis: np.zeros_like(a),
}
#: Other places of the gates in arguments, and how the gradients are brought back to the right ones.
GATES: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "gates in order": (lambda a, axis, by: _blocks(a, axis, tuple(np.argsort(by))), _blocks),
    "gates interleaved": (_interleaved, lambda a, axis, by: _interleaved(a, axis, -by)),
}


def _gate_axes(tape: Tape, names: Iterable[str]) -> dict[str, int]:
    """The axis of these arguments along which gates lie."""
    axes = {name: tape.network.arguments[name].axes for name in names}
    return {n: next(i for i, axis in enumerate(each) if axis.parts > 1) for n, each in axes.items()}


def _arguments(right: Graph, mistake: Mistake) -> Graph:
    tape, names, change, by = right.tape, mistake.part.names, mistake.change, mistake.by
    given, arguments = tape.problem.values, tape.network.arguments
    if change == "another's":
        changed = {names[0]: given[by[0]]}
    elif change in GATES:
        axes = _gate_axes(tape, names)
        changed = {n: GATES[change][0](given[n], axis, by[0]) for n, axis in axes.items()}
    else:
        changed = {n: ARGUMENTS[change](given[n], arguments[n].time_axis, *by) for n in names}
    return right.with_values(right.rerun(right.nodes, changed))


def _edge(mistake: Mistake) -> Callable[[Contribution], Any]:
    name, by, when = mistake.change, mistake.by, STEPS[mistake.step]
    change = EDGES.get(name) or (lambda c, *by: ARRAYS[name](c.base(), *by))
    return lambda c: change(c, *by) if when(c.step, c.steps) else c.base()


def _carry(mistake: Mistake) -> Callable[[Reverse, int, int], Any]:
    name, by, when = mistake.change, mistake.by, STEPS[mistake.step]
    change = CARRIES.get(name) or (lambda r, s, t, *by: ARRAYS[name](r.crossing(s, t), *by))
    return lambda r, s, t: (
        change(r, s, t, *by) if when(t, len(r.graph.tape.losses)) else r.crossing(s, t)
    )


def _altered(mistakes: Iterable[Mistake]) -> Altered:
    """The reverse pass with these mistakes."""
    edges: dict[Edge, Any] = {}
    carry: dict[int, Any] = {}
    weight, window = None, None
    for m in mistakes:
        if m.part.edges:
            edges |= dict.fromkeys(m.part.edges, _edge(m))
        if m.part.states:
            carry |= dict.fromkeys(m.part.states, _carry(m))
        if m.part.kind == "loss":
            weight = lambda t, T, cut=STEPS[m.step]: float(not cut(t, T))  # noqa: E731
        if m.part.kind == "window":
            (window,) = m.by
    return Altered(edges, carry, weight, window)


def gradients(graph: Graph, *mistakes: Mistake, noise: Noise | None = None) -> Gradients:
    """The gradient of each differentiated argument, with these mistakes."""
    altered, changed = _altered(mistakes), graph if noise is None else graph.with_noise(noise)
    for mistake in mistakes:
        if mistake.forward:
            run = _arguments if mistake.part.kind == "arguments" else _operation
            changed = run(changed, mistake)
    if changed is graph and altered == Altered():
        found = graph.right_pass().gradients()
    else:
        found = changed.gradients(altered)
    for mistake in mistakes:
        found = finished(mistake, graph.tape, found)
    return found
