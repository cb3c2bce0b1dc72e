"""The quantities that a right reverse pass computes, to compare the lines of a pass with."""

from collections.abc import Iterator
from itertools import chain, combinations

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Graph


def quantities(graph: Graph) -> list[Array]:
    """Gradients of nodes, the terms of their sums, and sums of these over the last steps.

    Of what a step passes back to a state, the sum of each few of its terms, too.

    Those that are a part of an argument, as the upstream gradient is, show nothing.
    """
    given, problem = set[bytes](), graph.tape.problem
    for name, value in problem.values.items():
        axis = graph.tape.network.arguments[name].time_axis
        parts = [] if axis is None else list(np.moveaxis(value, axis, 0))
        given.update(map(_entries, [value, *parts]))
    found = (
        a for a in chain(_all(graph), _passed_back(graph)) if np.ptp(a) > 0 and np.isfinite(a).all()
    )
    return [a for a in found if _entries(a) not in given]


_MOST_PARTS = 4  # of an error passed back to a state, of which each sum is looked at


def _entries(a: Array) -> bytes:
    return np.sort(a, axis=None).tobytes()


def _all(graph: Graph) -> Iterator[Array]:
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
        yield from last_first
        if len(last_first) > 1 and len({a.shape for a in last_first}) == 1:
            yield np.stack(last_first)
            yield from np.cumsum(last_first, axis=0)[1:] if key in summed else ()


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
