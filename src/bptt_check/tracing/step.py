"""A recorded step with a name for each quantity; mistakes are built from these."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Contribution, Graph
from bptt_check.tracing.tape import VIEWS, Node, Tape, refs

Alteration = Callable[[Contribution], Array | None]
Getter = Callable[[Graph, int], int | None]  # the node of a quantity at a step


class Step:
    """A step of a tape, with a name for each node.

    `inner`: the nodes of step `number`, the second unless a later one has more operations (a loss
    at the last step only); and, of an operation that it lacks, the last one. `of`: the node of each
    site: one of these, or the last before the first step. `repeated`: sites with several there.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape, self.graph = tape, Graph(tape)
        self.number = _fullest(tape)
        last = {n.site: i for i, n in enumerate(tape.nodes)}
        own = {n.site: i for i, n in enumerate(tape.nodes) if n.step == self.number}
        self.of = {**last, **own}
        self.inner = [i for i in sorted(self.of.values()) if self._is_inner(tape.nodes[i])]
        self.states = dict.fromkeys(self.graph.crossing.values())
        chosen = {*self.inner, *(i for i in self.of.values() if tape.nodes[i].step < 0)}
        counts = Counter(n.site for n in tape.nodes if n.step < 0)
        self.repeated = {site for site, count in counts.items() if count > 1}  # an encoder's
        self.edges = [
            (u, j, r)
            for r, users in enumerate(self.graph.users)
            for u, j in users
            if u in chosen and (tape.nodes[u].step < 0) <= (tape.nodes[u].op not in VIEWS)
        ]
        self.edges.sort(key=lambda edge: -edge[0])
        inner = set(self.inner)
        self.leaf = self._leaves()
        self.initial = self._initial_states()
        products = {tape.sites[n.site].key[:-3] for n in tape.nodes if n.op == "mm"}
        #: What the product of a matrix and a vector is wrapped in.
        self.wrappings = {
            site
            for site in self.of
            if tape.sites[site].op in ("squeeze", "unsqueeze")
            and tape.sites[site].key[:-3] in products
        }
        written = [tape.nodes[i].site for i in self.inner]
        texts = Counter(tape.sites[s].text for s in written if s not in self.wrappings)
        self.ambiguous = {text for text, count in texts.items() if count > 1}
        self.quantities = list(self._quantities(inner))

    def _is_inner(self, node: Node) -> bool:
        is_first = self.tape.sites[node.site].key[-1] == 1  # of several calls from one place
        return node.step == self.number or (node.step >= 0 and is_first)

    def _leaves(self) -> dict[int, str]:
        """The nodes that are views of a differentiated argument, with the argument's name."""
        found: dict[int, str] = {}
        for name in self.tape.network.differentiated:
            found[self.tape.arguments[name]] = name
        for index, node in enumerate(self.tape.nodes):
            if node.step == -1 and node.op in VIEWS and node.args[0] in found:
                found[index] = found[node.args[0]]
        return found

    def _initial_states(self) -> dict[int, int]:
        """The node that holds the initial value of each state, by the state's site."""
        found = {}
        for (site, j), state in self.graph.crossing.items():
            index = self.tape.node_at.get((site, 0))
            if index is not None and isinstance(j, int):
                found[state] = self.tape.nodes[index].args[j]
        return found

    @property
    def initial_states(self) -> set[str]:
        """The differentiated arguments that are the initial value of a state, or a view of it."""
        return {self.leaf[index] for index in self.initial.values() if index in self.leaf}

    def _quantities(self, inner: set[int]) -> Iterator[tuple[str, int, Getter]]:
        """(name, its node in this step, its node in any step) of every floating-point quantity."""
        seen = set()
        for index in self.inner:
            node = self.tape.nodes[index]
            for j, r in refs(node):
                if r not in inner and r not in seen and self.tape.values[r].dtype.kind == "f":
                    seen.add(r)
                    yield self.name(r), r, argument_of(node.site, j)
            if self.tape.values[index].dtype.kind == "f" and index not in self.tape.losses:
                yield self.name(index), index, result_of(node.site)
        for index in self.initial.values():
            if self.tape.nodes[index].op == "argument" and index not in seen:
                yield self.name(index), index, always(index)

    def name(self, index: int) -> str:
        """The name of a node: a variable, an expression, or an operation."""
        node, site = self.tape.nodes[index], self.tape.sites[self.tape.nodes[index].site]
        if index in self.tape.losses:
            return "the loss"
        if node.site in self.states:
            lag = self.tape.nodes[self.of[node.site]].step - node.step
            return (site.name or site.text) + {0: "_t", 1: "_(t-1)"}.get(lag, " of another step")
        if site.name:
            return site.name
        if node.site in self.wrappings and node.op == "unsqueeze":
            return self.name(node.args[0])
        if node.op == "constant":
            return "a constant"
        if site.text in self.ambiguous or not site.text:
            return f"{node.op.strip('_')}[{site.text}]"
        return site.text

    def where(self, index: int) -> str:
        """The source line of a node."""
        return self.tape.sites[self.tape.nodes[index].site].where

    def gates(self, count: int) -> list[str]:
        """The names of the `count` gates: their activations, or their numbers."""
        nodes = self.tape.nodes
        for index in self.inner:
            parts = [i for i in self.inner if nodes[i].op in VIEWS and nodes[i].args[0] == index]
            if len(parts) == count:
                return [self.name(self._activation(part)) for part in parts]
        return [str(k + 1) for k in range(count)]

    def _activation(self, index: int) -> int:
        inner = index
        while self.tape.nodes[inner].op not in ("sigmoid", "tanh", "relu"):
            users = [u for u, _ in self.graph.users[inner]]
            if len(users) != 1:
                return index
            inner = users[0]
        return inner

    def alike(self, shape: tuple[int, ...], *excluded: int) -> Iterator[tuple[str, Getter]]:
        """Every quantity of this shape except the excluded nodes."""
        for name, index, get in self.quantities:
            if np.shape(self.tape.values[index]) == shape and index not in excluded:
                yield name, get


def _fullest(tape: Tape) -> int:
    """The second step, or the first later one that has more operations than it."""
    first = {i for i, site in enumerate(tape.sites) if site.key[-1] == 1}
    counts = Counter(n.step for n in tape.nodes if n.site in first)
    return max(range(1, len(tape.losses)), key=lambda s: (counts[s], -s), default=0)


def always(index: int) -> Getter:
    """This node, in every step."""
    return lambda graph, step: index


def result_of(site: int) -> Getter:
    """The node that a site computes in a step."""
    return lambda graph, step: graph.tape.node_at.get((site, step))


def argument_of(site: int, j: Any) -> Getter:
    """The node that is argument j of a site in a step."""

    def get(graph: Graph, step: int) -> int | None:
        index = graph.tape.node_at.get((site, step))
        if index is None:
            return None
        args = graph.nodes[index].args
        return args[j] if isinstance(j, int) else args[j[0]][j[1]]

    return get


def shifts(
    value_at: Callable[[Contribution, int], Any],
) -> Iterator[tuple[str, Callable[[Contribution], Any]]]:
    """The same quantity of another step: the effects of `t - 1`, `t + 1` and `-1` at the ends."""
    yield "of the previous step, wrapping around", lambda c: value_at(c, (c.step - 1) % c.steps)
    yield "of the previous step, repeated at the first", lambda c: value_at(c, max(c.step - 1, 0))
    yield (
        "of the previous step, zero at the first",
        lambda c: value_at(c, max(c.step - 1, 0)) * (c.step > 0),
    )
    yield (
        "of the next step, repeated at the last",
        lambda c: value_at(c, min(c.step + 1, c.steps - 1)),
    )
    yield (
        "of the next step, zero at the last",
        lambda c: value_at(c, min(c.step + 1, c.steps - 1)) * (c.step + 1 < c.steps),
    )
    yield "of the next step, wrapping around", lambda c: value_at(c, (c.step + 1) % c.steps)
    yield "reversed in time", lambda c: value_at(c, c.steps - 1 - c.step)
    yield "of the first step at every step", lambda c: value_at(c, 0)
    yield "of the last step at every step", lambda c: value_at(c, c.steps - 1)
    yield "zero at the first step", lambda c: value_at(c, c.step) * (c.step > 0)
    yield "zero at the last step", lambda c: value_at(c, c.step) * (c.step < c.steps - 1)


def places(
    step: Step, state: int, offsets: tuple[int, ...]
) -> Iterator[tuple[str, Callable[[Contribution], Any]]]:
    """A state of other steps, from an array with the initial state in its last place."""
    first = step.initial.get(state)
    name = step.tape.sites[state].name or step.tape.sites[state].text

    def value_at(c: Contribution, place: int) -> Any:
        place %= c.steps + 1
        at_place = c.reverse.graph.tape.node_at.get((state, place))
        return c.value(first if place == c.steps else at_place)

    def moved(offset: int) -> Callable[[Contribution], Any]:
        return lambda c: value_at(c, c.step + offset)

    for offset in offsets:
        yield f"{name}_(t{offset:+}), the initial state at index -1", moved(offset)
    yield f"{name} of the last step at every step", lambda c: value_at(c, c.steps - 1)


def valued(get: Getter) -> Callable[[Contribution, int], Any]:
    """The value of a quantity at a step."""

    def value(c: Contribution, step: int) -> Any:
        return c.value(get(c.reverse.graph, step))

    return value


def current(get: Getter) -> Callable[[Contribution], Any]:
    """The value of a quantity at the contribution's step."""
    return lambda c: c.value(get(c.reverse.graph, c.step))


def replaced(position: int, value: Callable[[Contribution], Any]) -> Alteration:
    """The right contribution, with another value for the argument at this position."""
    return lambda c: c.replaced(position, value(c))
