"""A contribution made from a wrong gradient: of another node, of another step, or incomplete."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bptt_check.tracing.mistakes import Part, Quantity
from bptt_check.tracing.step import Step

#: A change, its parameters, and its rank.
Change = tuple[str, tuple[Any, ...], int]


def other_gradients(step: Step, user: int, ref: int, same_shape: bool) -> Iterator[Change]:
    """The mistakes of this kind in the contribution of `user` to its argument `ref`."""
    node, values, leaf = step.tape.nodes[user], step.tape.values, ref in step.leaf
    shape, batch = np.shape(values[user]), step.tape.problem.sizes.get("batch")
    if shape:
        for m in step.inner:
            if m != user and step.graph.users[m] and np.shape(values[m]) == shape:
                yield "gradient of", (step.result(m),), 4
        for state in step.states:
            if np.shape(step.value(state)) == shape and node.step >= 0:
                yield "gradient from next", (step.state(state),), 4
        for quantity in step.alike(shape, *(() if leaf else (user,))):
            yield "value for gradient", (quantity,), 5
            if leaf or node.op == "mm":
                yield "value for gradient", (quantity._replace(shift="last"),), 5
    own = Quantity(step.name(user))
    for shift in ("first", "last", "next") if node.site not in step.late else ():
        yield "gradient of", (own._replace(shift=shift),), 2 if leaf and shift == "next" else 4
    if leaf:
        if np.ndim(values[ref]) == 1:
            yield "summed over its axis", (), 2
        for axis in [i for i, size in enumerate(shape) if size == batch]:
            yield "first example", (axis,), 2
            if np.ndim(values[ref]) < len(shape):
                yield "maximum over batch", (axis,), 3
        yield "gradient of", (own._replace(shift="previous"),), 4
        if batch is not None and "batch" not in step.tape.network.arguments[step.leaf[ref]].names:
            yield "mean over batch", (), 1
    yield from _incomplete(step, user, same_shape and node.op != "add")


def _incomplete(step: Step, user: int, may_be_bare: bool) -> Iterator[Change]:
    """The gradient of `user`, or of the sum it is a term of, without some of its sources."""
    total, node_at = _sum_of(step, user), step.tape.node_at
    site, name = step.tape.nodes[total].site, step.name(total)
    edges = tuple(dict.fromkeys(step.edge(u, k) for u, k in step.graph.users[total]))
    if len(edges) < 2:
        return
    changes = ("lacks", "bare") if may_be_bare else ("lacks",)
    crossing = tuple(e for e in edges if e in step.graph.crossing)
    for edge in edges:
        is_next = edge in crossing
        source = node_at.get((edge[0], step.tape.nodes[user].step + is_next))
        through = "" if source is None else step.name(source)
        part = Part("sources", name, (edge,), site=site, operand=through, leaf=is_next)
        yield from ((change, (part,), 2) for change in changes)
        if len(edges) > 2:
            yield "only", (part,), 3
    if crossing:
        own = tuple(e for e in edges if e not in crossing)
        yield "next for own", (Part("sources", name, own, site=site),), 2
    if 1 < len(crossing) < len(edges):
        part = Part("sources", name, crossing, site=site, leaf=True)
        yield from ((change, (part,), 2) for change in changes)


def _sum_of(step: Step, user: int) -> int:
    """The sum that a node is only used as a term of, if any: their gradients are equal."""
    users = step.graph.users[user]
    while len(users) == 1 and step.tape.nodes[users[0][0]].op == "add":
        total = users[0][0]
        same_shape = np.shape(step.tape.values[total]) == np.shape(step.tape.values[user])
        if step.tape.nodes[total].step != step.tape.nodes[user].step or not same_shape:
            break
        user, users = total, step.graph.users[total]
    return user
