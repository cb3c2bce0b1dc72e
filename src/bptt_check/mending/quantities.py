"""The quantities that a right reverse pass computes, to compare the lines of a pass with."""

from collections.abc import Iterator, Mapping, Set
from itertools import combinations

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Graph


def quantities(graph: Graph) -> list[list[Array]]:
    """Gradients of nodes, the terms of their sums, and sums of these over the last steps.

    Of what a step passes back to a state, the sum of each few of its terms, too; of what is split
    into gates, or put together of them, each gate's. What is summed over the steps is one quantity
    with all its partial sums.

    Those that are a part of an argument, as the upstream gradient is, show nothing.
    """
    given, problem = set[bytes](), graph.tape.problem
    for name, value in problem.values.items():
        axis = graph.tape.network.arguments[name].time_axis
        parts = [] if axis is None else list(np.moveaxis(value, axis, 0))
        given.update(map(_entries, [value, *parts]))
    pieces = _pieces(graph)

    def shows(a: Array) -> bool:
        return bool(np.ptp(a) > 0 and np.isfinite(a).all()) and _entries(a) not in given

    found = []
    for its in (*_all(graph), *([a] for a in _passed_back(graph))):
        every = [part for a in its for part in (a, *_split(a, pieces))]
        found.append([*filter(shows, every)])
    return [its for its in found if its]


_MOST_PARTS = 4  # of an error passed back to a state, of which each sum is looked at


def _entries(a: Array) -> bytes:
    return np.sort(a, axis=None).tobytes()


def _all(graph: Graph) -> Iterator[list[Array]]:
    right, terms = graph.right_pass(), dict[object, dict[int, Array]]()
    summed = set()  # of these the terms are: the sums of all steps
    for index in graph.order:
        node = graph.nodes[index]
        if (g := right.of(index)) is not None:
            terms.setdefault(node.site, {})[node.step] = np.asarray(g)
        for user, j in graph.users[index]:
            if (part := right.part(user, j)) is not None:
                its = graph.nodes[user]
                terms.setdefault((its.site, j), {})[its.step] = np.asarray(part)
                summed |= {(its.site, j)} if node.step < 0 else set()
    for key, of_steps in terms.items():
        last_first = [of_steps[step] for step in sorted(of_steps, reverse=True)]
        if len(last_first) > 1 and len({a.shape for a in last_first}) == 1:
            if key in summed:
                yield [*last_first, np.stack(last_first), *np.cumsum(last_first, axis=0)[1:]]
                continue
            yield [np.stack(last_first)]
        yield from ([a] for a in last_first)


def _passed_back(graph: Graph) -> Iterator[Array]:
    right, parts = graph.right_pass(), dict[object, list[Array]]()
    for (site, j), state in graph.crossing.items():
        for step in range(len(graph.tape.losses)):
            user = graph.tape.node_at.get((site, step))
            if user is not None and (part := right.part(user, j)) is not None:
                parts.setdefault((state, step), []).append(np.asarray(part))
    for its in parts.values():
        for count in range(2, len(its) + 1) if len(its) <= _MOST_PARTS else (len(its),):
            yield from (np.sum(some, axis=0) for some in combinations(its, count))


def _pieces(graph: Graph) -> dict[int, set[tuple[int, int]]]:
    """Of axes of these sizes the pieces that are used apart: elsewhere a contribution is 0."""
    right, found = graph.right_pass(), dict[int, set[tuple[int, int]]]()
    for index in graph.order:
        for user, j in graph.users[index]:
            part = right.part(user, j) if graph.nodes[user].step == 0 else None
            if part is None:
                continue
            for axis, size in enumerate(part.shape):
                its = np.flatnonzero(np.moveaxis(part, axis, 0).reshape(size, -1).any(1))
                if 1 < its.size < size and its[-1] - its[0] == its.size - 1:
                    found.setdefault(size, set()).add((int(its[0]), int(its[-1]) + 1))
    return found


def _split(a: Array, pieces: Mapping[int, Set[tuple[int, int]]]) -> Iterator[Array]:
    for axis, size in enumerate(a.shape):
        for begin, end in pieces.get(size, ()):
            yield np.moveaxis(a, axis, 0)[begin:end]
