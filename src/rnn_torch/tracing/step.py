"""A recorded step, with a name for everything in it: what mistakes are made of."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.reverse import At, Graph
from rnn_torch.tracing.tape import Tape, refs

Alteration = Callable[[At], Array | None]
Getter = Callable[[Graph, int], int | None]  # the node of a quantity at a step

VIEWS = {"t", "transpose", "permute", "view", "split", "chunk", "select", "unbind", "slice"}
VIEWS |= {"unsqueeze", "squeeze", "expand", "split_with_sizes"}


class Step:
    """What a tape's second step consists of, with a name for everything."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.graph = tape, Graph(tape)
        self.inner = [i for i, n in enumerate(tape.nodes) if n.step == min(1, len(tape.losses) - 1)]
        every = set(self.inner)
        self.states = dict.fromkeys(self.graph.crossing.values())
        self.edges = [
            (u, j, r) for r, users in enumerate(self.graph.users) for u, j in users if u in every
        ]
        self.edges += [
            (u, j, r)
            for r, users in enumerate(self.graph.users)
            for u, j in users
            if tape.nodes[u].step == -1 and tape.nodes[u].op not in VIEWS
        ]
        self.edges.sort(key=lambda edge: -edge[0])
        self.leaf = self._leaves()
        texts = Counter(tape.sites[tape.nodes[i].site].text for i in self.inner)
        self.ambiguous = {text for text, count in texts.items() if count > 1}
        self.quantities = list(self._quantities(every))

    def _leaves(self) -> dict[int, str]:
        """Which differentiated argument a node is a part or another view of."""
        found: dict[int, str] = {}
        for name in self.tape.network.differentiated:
            found[self.tape.arguments[name]] = name
        for index, node in enumerate(self.tape.nodes):
            if node.step == -1 and node.op in VIEWS and node.args[0] in found:
                found[index] = found[node.args[0]]
        return found

    def _quantities(self, every: set[int]) -> Iterator[tuple[str, int, Getter]]:
        """(name, its node in this step, the node in any step) of everything that is a number."""
        seen = set()
        for index in self.inner:
            node = self.tape.nodes[index]
            for j, r in refs(node):
                if r not in every and r not in seen and self.tape.values[r].dtype.kind == "f":
                    seen.add(r)
                    yield self.name(r), r, argument_of(node.site, j)
            if self.tape.values[index].dtype.kind == "f" and index not in self.tape.losses:
                yield self.name(index), index, result_of(node.site)

    def name(self, index: int) -> str:
        """A variable, an expression, or what an operation computes."""
        node, site = self.tape.nodes[index], self.tape.sites[self.tape.nodes[index].site]
        if index in self.tape.losses:
            return "the loss"
        if node.site in self.states:
            earlier = node.step < self.tape.nodes[self.inner[0]].step
            return f"{site.name or site.text}_{'(t-1)' if earlier else 't'}"
        if site.name:
            return site.name
        if node.op == "constant":
            return "a constant"
        if site.text in self.ambiguous or not site.text:
            return f"{node.op.strip('_')}[{site.text}]"
        return site.text

    def where(self, index: int) -> str:
        """The source line it is in."""
        return self.tape.sites[self.tape.nodes[index].site].where

    def gates(self, count: int) -> list[str]:
        """What each of so many equal parts is called: its activation, or its number."""
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

    def alike(self, shape: tuple[int, ...], *but: int) -> Iterator[tuple[str, Getter]]:
        """Every quantity of this shape, but these."""
        for name, index, get in self.quantities:
            if np.shape(self.tape.values[index]) == shape and index not in but:
                yield name, get


def result_of(site: int) -> Getter:
    """What a site computes in a step."""
    return lambda graph, step: graph.tape.at.get((site, step))


def argument_of(site: int, j: Any) -> Getter:
    """What a site is given in a step."""

    def get(graph: Graph, step: int) -> int | None:
        index = graph.tape.at.get((site, step))
        if index is None:
            return None
        args = graph.nodes[index].args
        return args[j] if isinstance(j, int) else args[j[0]][j[1]]

    return get


def shifts(at_step: Callable[[At, int], Any]) -> Iterator[tuple[str, Callable[[At], Any]]]:
    """The same thing of another step: what `t - 1`, `t + 1`, `-1` do at the ends."""
    yield "of the step before, wrapping round", lambda at: at_step(at, (at.step - 1) % at.steps)
    yield "of the step before, kept at the first", lambda at: at_step(at, max(at.step - 1, 0))
    yield (
        "of the step before, zero at the first",
        lambda at: at_step(at, max(at.step - 1, 0)) * (at.step > 0),
    )
    yield (
        "of the step after, kept at the last",
        lambda at: at_step(at, min(at.step + 1, at.steps - 1)),
    )
    yield (
        "of the step after, zero at the last",
        lambda at: at_step(at, min(at.step + 1, at.steps - 1)) * (at.step + 1 < at.steps),
    )
    yield "of the step after, wrapping round", lambda at: at_step(at, (at.step + 1) % at.steps)
    yield "reversed in time", lambda at: at_step(at, at.steps - 1 - at.step)
    yield "of the first step, always", lambda at: at_step(at, 0)
    yield "of the last step, always", lambda at: at_step(at, at.steps - 1)
    yield "zero at the first step", lambda at: at_step(at, at.step) * (at.step > 0)
    yield "zero at the last step", lambda at: at_step(at, at.step) * (at.step < at.steps - 1)


def valued(get: Getter) -> Callable[[At, int], Any]:
    """The value of a quantity at a step."""

    def value(at: At, step: int) -> Any:
        return at.value(get(at.reverse.graph, step))

    return value


def now(get: Getter) -> Callable[[At], Any]:
    """Its value at the contribution's own step."""
    return lambda at: at.value(get(at.reverse.graph, at.step))


def replaced(at_argument: int, value: Callable[[At], Any]) -> Alteration:
    """What is right, with another value for this argument of the operation."""
    return lambda at: at.replaced(at_argument, value(at))
