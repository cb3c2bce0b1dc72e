"""A recorded step with a name for each quantity; mistakes are built from these."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.mistakes import Edge, Quantity
from bptt_check.tracing.reverse import Graph
from bptt_check.tracing.tape import VIEWS, Node, Ref, Tape, refs


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
        nodes, end = tape.nodes, len(tape.losses) - 1
        #: Sites of the last step alone, such as a layer's final state after its last output.
        self.late = {n.site for n in nodes if end > 0} - {n.site for n in nodes if n.step < end}
        self.state_names = {tape.sites[site].name for site in self.states}
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

    def is_upstream(self, index: int) -> bool:
        """Whether a node is an upstream gradient, or a view of it."""
        node = self.tape.nodes[index]
        if node.op in VIEWS and isinstance(node.args[0], Ref):
            return self.is_upstream(node.args[0])
        arguments = self.tape.network.arguments.items()
        return index in [self.tape.arguments[n] for n, a in arguments if a.role == "upstream"]

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

    def _quantities(self, inner: set[int]) -> Iterator[tuple[Quantity, int]]:
        """Every floating-point quantity, and its node in this step."""
        seen = set()
        for index in self.inner:
            node = self.tape.nodes[index]
            for j, r in refs(node):
                if r not in inner and r not in seen and self.tape.values[r].dtype.kind in "fc":
                    seen.add(r)
                    yield Quantity(self.name(r), node.site, j), r
            if self.tape.values[index].dtype.kind in "fc" and index not in self.tape.losses:
                yield self.result(index), index
        for index in self.initial.values():
            if self.tape.nodes[index].op == "argument" and index not in seen:
                yield self.result(index), index

    def result(self, index: int) -> Quantity:
        """What the site of this node computes."""
        return Quantity(self.name(index), self.tape.nodes[index].site)

    def state(self, site: int) -> Quantity:
        """A state, by its name alone."""
        return Quantity(self.tape.sites[site].name or self.tape.sites[site].text, site)

    def value(self, site: int) -> Array:
        """The value of a site's node."""
        return self.tape.values[self.of[site]]

    def edge(self, user: int, j: Any) -> Edge:
        """The contribution of this node's site to its argument j."""
        return self.tape.nodes[user].site, j

    def inner_edges(self, states: Iterable[int]) -> list[Edge]:
        """The contributions to these states from their own step."""
        users = [use for state in states for use in self.graph.users[self.of[state]]]
        found = dict.fromkeys(self.edge(u, j) for u, j in users)
        return [edge for edge in found if edge not in self.graph.crossing]

    def name(self, index: int) -> str:
        """The name of a node: a variable, an expression, or an operation."""
        node, site = self.tape.nodes[index], self.tape.sites[self.tape.nodes[index].site]
        if index in self.tape.losses:
            return "the loss"
        if node.site in self.states:
            lag = self.tape.nodes[self.of[node.site]].step - node.step
            return (site.name or site.text) + {0: "_t", 1: "_(t-1)"}.get(lag, " of another step")
        if site.name:
            is_final = node.site in self.late and site.name in self.state_names
            return f"the final {site.name}" if is_final else site.name
        if node.site in self.wrappings and node.op == "unsqueeze":
            return self.name(node.args[0])
        if node.op in ("view_as_complex", "view_as_real"):  # of this project's own
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

    def alike(self, shape: tuple[int, ...], *excluded: int) -> Iterator[Quantity]:
        """Every quantity of this shape except the excluded nodes."""
        for quantity, index in self.quantities:
            if np.shape(self.tape.values[index]) == shape and index not in excluded:
                yield quantity


def _fullest(tape: Tape) -> int:
    """The second step, or the first later one that has more operations than it."""
    first = {i for i, site in enumerate(tape.sites) if site.key[-1] == 1}
    counts = Counter(n.step for n in tape.nodes if n.site in first)
    return max(range(1, len(tape.losses)), key=lambda s: (counts[s], -s), default=0)
