"""Mistakes in sums over the steps, and in the error passed back to a state."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bptt_check.tracing.mistakes import Edge, Mistake, Part
from bptt_check.tracing.step import Step


def sum_mistakes(step: Step) -> Iterator[Mistake]:
    """The mistakes in the sum over the steps of a weight's gradient."""
    uses: dict[str, list[Edge]] = {}
    for user, j, ref in step.edges:
        name, edge = step.leaf.get(ref), step.edge(user, j)
        if not name or step.tape.nodes[user].step < 0 or edge in step.graph.crossing:
            continue
        if step.tape.network.arguments[name].time_axis is None:
            uses.setdefault(name, []).append(edge)
    every = "every weight's gradient"
    groups = {every: [e for edges in uses.values() for e in edges]} if uses else {}
    groups |= {f"d{name}": edges for name, edges in uses.items()}
    for label, edges in groups.items():
        its, is_one = Part("uses", label, tuple(dict.fromkeys(edges))), label != every
        for when in ("not first", "not last", "first", "last"):
            yield Mistake(its, "cut", step=when, rank=int(is_one))
        if is_one and 1 < len(edges) == len(its.edges):
            for edge in edges:
                others = Part("uses", label, tuple(e for e in edges if e != edge))
                yield Mistake(others, "cut", (), "", 3, step.where(step.of[edge[0]]))


def time_mistakes(step: Step) -> Iterator[Mistake]:
    """The mistakes in the error passed back to a state from the next step, and in the loss."""
    states = tuple(step.states)
    groups = [Part("carry", step.state(s).name, states=(s,)) for s in states]
    groups += [Part("carry", "every state", states=states)] if len(states) > 1 else []
    for group in groups:
        where = step.where(step.of[group.states[0]])
        yield Mistake(group, "accumulated", (), "", 1, where)
        chunks = (16, 32, 64) if step.tape.network.outputs else ()  # of a layer's kernel
        for change, by, rank in _carried(chunks):
            for when in ("", "not first"):  # the initial state's error, or not
                yield Mistake(group, change, by, when, rank, where)
        inner = tuple(step.inner_edges(group.states))
        if inner:
            own = group._replace(states=(), edges=inner)
            yield Mistake(own, "cut", (), "not last", 1, where)
        if len(group.states) == 1 and inner:
            starts = group._replace(states=(), edges=inner[:1])
            yield Mistake(starts, "starts from 1", (), "last", 2, where)
    yield from _initial_states(step)
    ends = [(edge, s) for s in states for edge in step.inner_edges([s])[:1]]
    every = Part("carry", "every state", tuple(edge for edge, _ in ends), states)
    yield Mistake(every, "forward in time", tuple(ends), rank=1)
    if len(states) == 2:
        yield Mistake(Part("carry", "the two states", states=states), "swapped", states, rank=2)
    for k in range(1, 6):
        yield Mistake(Part("window"), "window", (k,), rank=1)
    for when in ("not last", "not first", "last", "first"):
        yield Mistake(Part("loss"), "cut", step=when, rank=0)


def _carried(chunks: tuple[int, ...]) -> Iterator[tuple[str, tuple[Any, ...], int]]:
    """Wrong changes of the error passed back to a state."""
    yield "cut", (), 0
    for k in (2, 3, 4, 5, 8, 10, *chunks):
        yield "dropped", (k,), 1
        if chunks:
            yield "doubled", (k,), 1
            yield from (("shifted", (k, by), 2) for by in (1, k))
    for bound in (0.1, 0.5, 1, 5, 10):
        yield "clipped", (bound,), 2
    for factor in (-1, 2, 0.5):
        yield "factor", (factor,), 2


def _initial_states(step: Step) -> Iterator[Mistake]:
    """The gradient of the state after the first step, returned for the initial state's."""
    ends: list[tuple[Edge, int]] = []
    for state in step.states:
        edges = tuple(edge for edge, site in step.graph.crossing.items() if site == state)
        if not edges:
            continue
        ends.append((edges[0], state))
        initial, shape = Part("uses", step.state(state).name, edges), np.shape(step.value(state))
        first = step.state(state)
        yield Mistake(initial, "gradient of first state", (first, edges[0]), "first", 2)
        for index in step.inner:
            of = step.result(index)
            its = step.graph.users[index] and np.shape(step.tape.values[index]) == shape
            if its and of.site != state:
                yield Mistake(initial, "gradient of first state", (of, edges[0]), "first", 4)
    cut = [step.edge(u, j) for u, j, ref in step.edges if ref in step.leaf]
    cut += step.inner_edges(step.states)
    stopped = Part("uses", "the loop", tuple(dict.fromkeys([*cut, *(edge for edge, _ in ends)])))
    yield Mistake(stopped, "stops early", tuple(ends), "first", 1)
