"""Several contributions altered together: gradients assigned, weights or gates swapped."""

from collections.abc import Iterator
from itertools import combinations, permutations

import numpy as np

from bptt_check.tracing.mistakes import Edge, Mistake, Part
from bptt_check.tracing.step import Step
from bptt_check.tracing.tape import VIEWS, Ref

_MOST_PATHS = 5  # to one quantity, of which several remain
_MOST_FUNCTIONS = 3  # of an argument, one after the other


def path_mistakes(step: Step) -> Iterator[Mistake]:
    """The mistakes of this kind in a step."""
    paths: dict[int, list[Edge]] = {}
    nodes, values = step.tape.nodes, step.tape.values
    for user, j, ref in step.edges:
        paths.setdefault(ref, []).append(step.edge(user, j))
    for ref, edges in paths.items():
        few = len(edges) <= _MOST_PATHS
        for count in range(1, len(edges) - 1 if few else min(2, len(edges) - 1)):
            for kept in combinations(edges, count) if ref not in step.leaf else ():
                cut = Part("uses", step.name(ref), tuple(e for e in edges if e not in kept))
                names = tuple(step.name(step.of[site]) for site, _ in kept)
                where = step.where(step.of[kept[0][0]])
                yield Mistake(cut, "cut", names, "", count, where)
    for user in step.inner:
        factors = [a for a in nodes[user].args[:2] if isinstance(a, Ref)]
        shapes = {np.shape(values[a]) for a in factors}
        if nodes[user].op == "mul" and len(factors) == 2 and len(shapes) == 1:
            both = Part("uses", step.name(user), (step.edge(user, 0), step.edge(user, 1)))
            yield Mistake(both, "own factors", rank=2, where=step.where(user))
    yield from _functions_left_out(step)
    yield from _parts(step)


def _functions_left_out(step: Step) -> Iterator[Mistake]:
    """The gradient of -exp(A), say, returned for that of A."""
    for name in step.tape.network.differentiated:
        reached = {ref for ref, its in step.leaf.items() if its == name}
        edges: dict[Edge, None] = {}
        for _ in range(_MOST_FUNCTIONS):
            users = [(user, j, ref) for user, j, ref in step.edges if ref in reached]
            if not users or not all(_is_function(step, user, ref) for user, _, ref in users):
                break
            edges |= dict.fromkeys(step.edge(user, j) for user, j, _ in users)
            reached, last = {user for user, _, _ in users}, users[0][0]
            if len(edges) > 1:
                label, op = step.name(last), step.tape.nodes[last].op
                path = Part("path", label, tuple(edges), op=op, operand=name, leaf=True)
                yield Mistake(path, "without its derivative", rank=1, where=step.where(last))


def _is_function(step: Step, user: int, ref: int) -> bool:
    """Whether a node is a function of this argument alone, entry by entry."""
    factors = [a for a in step.tape.nodes[user].args if isinstance(a, Ref)]
    return factors == [ref] and np.shape(step.tape.values[user]) == np.shape(step.tape.values[ref])


def _parts(step: Step) -> Iterator[Mistake]:
    """Concatenated gates: in another order; one missing, swapped, or without its derivative."""
    nodes = step.tape.nodes
    groups: dict[int, list[int]] = {}
    for i in step.inner:
        if nodes[i].op in VIEWS and isinstance(nodes[i].args[0], Ref) and step.graph.users[i]:
            groups.setdefault(nodes[i].args[0], []).append(i)
    for source, indices in groups.items():
        parts = tuple(step.result(index) for index in indices)
        if len({np.shape(step.tape.values[i]) for i in indices}) > 1 or len(parts) < 2:
            continue
        each = Part("uses", "the gates", tuple(step.edge(index, 0) for index in indices))
        for order in permutations(range(len(parts))) if len(parts) <= 4 else ():
            if list(order) != sorted(order):
                by = (order, *parts)
                yield Mistake(each, "gates in order", by, "", 2, step.where(indices[0]))
        summands = _summands(step, source)
        for user, j, ref in step.edges:
            if user not in summands:
                continue
            path = Part("path", step.name(user), (step.edge(user, j),), operand=step.name(ref))
            where = step.where(user)
            for part in parts:
                yield Mistake(path, "lacks part", (part,), "", 2, where)
                for other in parts:
                    if other != part:
                        yield Mistake(path, "part for part", (part, other), "", 3, where)
            yield Mistake(path, "before derivatives", parts, "", 2, where)


def _summands(step: Step, source: int) -> list[int]:
    """The source, and the terms of the sums that form it, if they have its shape."""
    found, shape = [source], np.shape(step.tape.values[source])
    for index in found:
        node = step.tape.nodes[index]
        if node.op == "add" and index in step.inner:
            terms = [a for a in node.args if isinstance(a, Ref) and a in step.inner]
            found += [a for a in terms if np.shape(step.tape.values[a]) == shape]
    return found
