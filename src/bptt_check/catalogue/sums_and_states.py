"""Mistakes in sums over the steps, and in the error passed back to a state."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Contribution, Edge, Mistake, Reverse
from bptt_check.tracing.step import Step, current


def sum_mistakes(step: Step) -> Iterator[Mistake]:
    """The mistakes in the sum over the steps of a weight's gradient."""
    nodes = step.tape.nodes
    uses: dict[str, list[Edge]] = {}
    for user, j, ref in step.edges:
        name = step.leaf.get(ref)
        edge = (nodes[user].site, j)
        if not name or nodes[user].step < 0 or edge in step.graph.crossing:
            continue
        if step.tape.network.arguments[name].time_axis is None:
            uses.setdefault(name, []).append(edge)
    keeps: dict[str, Callable[[Contribution], bool]] = {
        "is overwritten, not accumulated: only the first step remains": lambda c: c.step == 0,
        "has only the last step": lambda c: c.step == c.steps - 1,
        "lacks the first step": lambda c: c.step > 0,
        "lacks the last step": lambda c: c.step < c.steps - 1,
    }
    groups = {"every gradient": [e for edges in uses.values() for e in edges]}
    groups |= {f"d{name}": edges for name, edges in uses.items()}
    for label, edges in groups.items() if uses else ():
        for text, keep in keeps.items():
            altered = {e: (lambda c, k=keep: c.base() if k(c) else None) for e in edges}
            yield Mistake(f"{label} {text}", rank=int(label != "every gradient"), edges=altered)
        repeated = {e for e in edges if edges.count(e) > 1}
        if label != "every gradient" and len(edges) > 1 and not repeated:
            for edge in edges:
                where = step.where(step.of[edge[0]])
                lacks = {e: (lambda c: None) for e in edges if e != edge}
                yield Mistake(f"{label} has only one of its uses", where, 3, edges=lacks)


def time_mistakes(step: Step) -> Iterator[Mistake]:
    """The mistakes in the error passed back to a state from the next step, and in the loss."""
    tape = step.tape
    states = {s: tape.sites[s].name or tape.sites[s].text for s in step.states}
    groups = [([s], name) for s, name in states.items()]
    groups += [(list(states), "every state")] if len(states) > 1 else []
    for group, label in groups:

        def each(f: Any, group: list[int] = group) -> Any:
            return dict.fromkeys(group, f)

        def changed(f: Any, initial: bool = True) -> Any:
            """f of the error from step t; `initial`: also of the initial state's, at t = 0."""
            return lambda r, state, t, f=f: (
                f(r.crossing(state, t), t) if t or initial else r.crossing(state, t)
            )

        error = f"the error passed back through {label}"
        where = step.where(step.of[group[0]])
        yield Mistake(f"{error} is never reset (+= for =)", where, 1, carry=each(_accumulated))
        for sentence, rank, f in _carried(error, "batch" in tape.problem.sizes, label):
            for initial in (True, False):
                yield Mistake(sentence, where, rank, carry=each(changed(f, initial)))
        inner = _inner_edges(step, group)
        if inner:
            text = f"{error} replaces that of the loss (= for +=), except at the last step"
            only_last = {e: (lambda c: c.base() if c.step == c.steps - 1 else None) for e in inner}
            yield Mistake(text, where, 1, edges=only_last)
        if len(group) == 1:
            yield from _wrong_errors(step, group[0], error, where)
    yield from _initial_states(step)
    yield _forward_in_time(step)
    if len(states) == 2:
        a, b = states
        swapped = {
            a: lambda r, _, t: r.crossing(b, t),
            b: lambda r, _, t: r.crossing(a, t),
        }
        yield Mistake("the errors of the two states are swapped", rank=2, carry=swapped)
    for k in range(1, 6):
        text = f"truncated: no error travels more than {k} step{'s' * (k > 1)} back"
        yield Mistake(text, rank=1, window=k)
    counts: dict[str, Callable[[int, int], float]] = {
        "only the last step's loss is used": lambda t, T: float(t == T - 1),
        "only the first step's loss is used": lambda t, T: float(t == 0),
        "the last step's loss is left out": lambda t, T: float(t < T - 1),
        "the first step's loss is left out": lambda t, T: float(t > 0),
    }
    for text, weight in counts.items():
        yield Mistake(text, rank=0, weight=weight)


def _carried(error: str, batch: bool, label: str) -> Iterator[tuple[str, int, Any]]:
    """Wrong changes of the error passed back to a state from step t."""
    yield f"no error is passed back through {label}", 0, lambda g, t: 0 * g
    for k in (2, 3, 4, 5, 8, 10):
        yield f"{error} is dropped every {k} steps", 1, lambda g, t, k=k: g * (t % k != 0)
    if batch:
        mean = f"{error} is averaged over the batch"
        yield mean, 3, lambda g, t: np.broadcast_to(np.mean(g, 0), np.shape(g))
    for b in (0.1, 0.5, 1, 5, 10):
        yield f"{error} is clipped to [-{b}, {b}]", 2, lambda g, t, b=b: np.clip(g, -b, b)
    for text, f in (("has the wrong sign", -1), ("is doubled", 2), ("is halved", 0.5)):
        yield f"{error} {text}", 2, lambda g, t, f=f: g * f


def _inner_edges(step: Step, states: list[int]) -> list[Edge]:
    """The contributions to these states from their own step."""
    indices = [step.of[state] for state in states]
    found = [(step.tape.nodes[u].site, j) for i in indices for u, j in step.graph.users[i]]
    return [edge for edge in dict.fromkeys(found) if edge not in step.graph.crossing]


def _initial_states(step: Step) -> Iterator[Mistake]:
    """The gradient of the state after the first step, returned for the initial state's."""
    tape = step.tape
    ends: dict[Edge, Callable[[Contribution], Array | None]] = {}
    for state in step.states:
        edges = [edge for edge, site in step.graph.crossing.items() if site == state]
        if not edges:
            continue
        name = tape.sites[state].name or tape.sites[state].text

        def after_first(c: Contribution, state: int = state) -> Array | None:
            index = c.reverse.graph.tape.node_at[state, 0]
            return c.reverse.of(index) if c.step == 0 else c.base()

        others = dict.fromkeys(edges[1:], _not_at_first)
        text = f"the gradient of {name}_1 is returned for that of the initial state"
        yield Mistake(text, rank=2, edges={edges[0]: after_first, **others})
        ends |= {edges[0]: after_first}
        shape = np.shape(tape.values[step.of[state]])
        for index in step.inner:
            site = tape.nodes[index].site
            if site != state and step.graph.users[index] and np.shape(tape.values[index]) == shape:
                text = f"the gradient of {step.name(index)} at the first step is returned for that"
                returned: dict[Edge, Any] = {**others, edges[0]: partial(_of_first_step, site)}
                yield Mistake(f"{text} of {name}'s initial state", rank=4, edges=returned)
    cut = [(tape.nodes[u].site, j) for u, j, ref in step.edges if ref in step.leaf]
    cut += _inner_edges(step, list(step.states))
    altered = {**dict.fromkeys(cut, _not_at_first), **ends}
    yield Mistake("the backward loop stops before the first step", rank=1, edges=altered)


def _of_first_step(site: int, c: Contribution) -> Array | None:
    return c.reverse.of(c.reverse.graph.tape.node_at[site, 0]) if c.step == 0 else c.base()


def _wrong_errors(step: Step, state: int, error: str, where: str) -> Iterator[Mistake]:
    """Another value in place of the error passed back to a state, from the last step on."""
    inner, crossing = _inner_edges(step, [state]), step.graph.crossing
    shape = np.shape(step.tape.values[step.of[state]])
    if not inner:
        return

    def from_one(c: Contribution) -> Array:
        return c.base() + float(c.step == c.steps - 1)

    yield Mistake(f"{error} starts from 1, not 0, at the last step", where, 2, {inner[0]: from_one})
    lost = [edge for edge, its_state in crossing.items() if its_state == state]
    for label, get in step.alike(shape):
        added = {inner[0]: partial(_plus, current(get))}
        text = f"{label} is taken for {error}"
        edges: dict[Edge, Any] = {**dict.fromkeys(lost, _only_at_first), **added}
        yield Mistake(text, where, 5, edges=edges)


def _plus(value: Callable[[Contribution], Any], c: Contribution) -> Array:
    return np.asarray(c.base() + value(c))


def _only_at_first(c: Contribution) -> Array | None:
    return c.base() if c.step == 0 else None


def _forward_in_time(step: Step) -> Mistake:
    """The loop of the backward pass runs from the first step to the last."""
    edges: dict[Edge, Any] = {}
    carry: dict[int, Any] = {}
    for state in step.states:
        ways = [edge for edge, its_state in step.graph.crossing.items() if its_state == state]
        carry[state] = partial(_at_the_end, ways)
        edges |= {edge: partial(_from_before, ways) for edge in _inner_edges(step, [state])[:1]}
    text = "the loop of the backward pass runs forward in time"
    return Mistake(text, rank=1, edges=edges, carry=carry)


def _passed_back(ways: list[Edge], reverse: Reverse, step: int) -> Any:
    """The error that a step passes back to a state."""
    graph, total = reverse.graph, np.zeros(())
    for site, j in ways:
        user = graph.tape.node_at.get((site, step))
        if user is not None and (g := reverse.of(user)) is not None:
            total = total + graph.back(user, j)(g)
    return total


def _from_before(ways: list[Edge], c: Contribution) -> Array:
    return np.asarray(c.base() + _passed_back(ways, c.reverse, c.step - 1))


def _at_the_end(ways: list[Edge], reverse: Reverse, _: int, step: int) -> Any:
    last = len(reverse.graph.tape.losses) - 1
    return _passed_back(ways, reverse, last) if step == 0 else np.zeros(())


def _not_at_first(c: Contribution) -> Array | None:
    return None if c.step == 0 else c.base()


def _accumulated(reverse: Reverse, state: int, step: int) -> Array:
    total: Any = reverse.crossing(state, step)
    previous = reverse.carried.get((state, step + 1))
    if previous is None or np.shape(previous) != np.shape(total):
        return total
    return total + previous
