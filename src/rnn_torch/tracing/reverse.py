"""The reverse pass over a tape, every contribution explicit, so that any one can be altered."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.calls import call, passed_back
from rnn_torch.tracing.tape import Node, Ref, Tape, refs

Edge = tuple[int, Any]  # a site, and which of its arguments
Gradients = dict[str, Array]


@dataclass(frozen=True)
class Mistake:
    """What is done otherwise than in the right backward pass, and the sentence that says so.

    `edges`: what a site passes back to an argument; None: nothing. `carry`: what a state (its site)
    is passed back from the next step. `weight`: of a step's loss. `final`: of the gradients.
    `forward`: another graph. `window`: no error travels further back. A small `rank` is said first.
    """

    sentence: str
    where: str = ""
    rank: int = 5
    edges: Mapping[Edge, Callable[["At"], Array | None]] = field(default_factory=dict)
    carry: Mapping[int, Callable[["Reverse", int, int], Array]] = field(default_factory=dict)
    weight: Callable[[int, int], float] | None = None
    final: Callable[[Tape, Gradients], Gradients] | None = None
    forward: Callable[["Graph"], "Graph"] | None = None
    window: int | None = None

    def __add__(self, other: "Mistake") -> "Mistake | None":
        """Both at once, or None where they touch the same thing."""
        if self.edges.keys() & other.edges.keys() or self.carry.keys() & other.carry.keys():
            return None
        alone = ("weight", "forward", "window")
        if any(None not in (getattr(self, f), getattr(other, f)) for f in alone):
            return None
        a, b = self.final, other.final
        return Mistake(
            f"{self.sentence}; and {other.sentence}",
            "; ".join(dict.fromkeys(filter(None, (self.where, other.where)))),
            self.rank + other.rank,
            {**self.edges, **other.edges},
            {**self.carry, **other.carry},
            self.weight or other.weight,
            (lambda tape, g: b(tape, a(tape, g))) if a and b else a or b,
            self.forward or other.forward,
            other.window if self.window is None else self.window,
        )


class Graph:
    """A tape with what its reverse pass needs: who uses whom, and what crosses to another step.

    The nodes may be altered, and the values those of other nodes: an altered forward pass.
    """

    def __init__(
        self, tape: Tape, nodes: list[Node] | None = None, values: list[Array] | None = None
    ) -> None:
        self.tape, self.nodes = tape, nodes or tape.nodes
        self.values = values or tape.values
        self.args: list[Any] = [None] * len(self.nodes)
        self.right: Reverse | None = None
        self.reached: dict[frozenset[Edge], set[int]] = {}
        self.users: list[list[tuple[int, Any]]] = [[] for _ in self.nodes]
        differentiated = set(tape.network.differentiated)
        carries: list[bool] = []
        used = self._used()
        for index, node in enumerate(self.nodes):
            if node.op == "argument":
                name = tape.sites[node.site].name
                carries.append(name in differentiated)
                continue
            its = [(j, r) for j, r in refs(node) if carries[r]]
            carries.append(bool(its) and np.asarray(self.values[index]).dtype.kind == "f")
            if carries[-1] and index in used:
                for j, r in its:
                    self.users[r].append((index, j))
        #: (site, argument) -> the site of the state whose last value it takes.
        self.crossing: dict[Edge, int] = {}
        if len(tape.losses) == 1 and tape.like:  # a single step does not show its own
            self.crossing = Graph(tape.like).crossing
        for user, j, into in ((u, j, r) for r, us in enumerate(self.users) for u, j in us):
            if -1 < self.nodes[into].step < self.nodes[user].step:
                self.crossing[self.nodes[user].site, j] = self.nodes[into].site

    def _used(self) -> set[int]:
        """The nodes that a loss depends on."""
        found = set(self.tape.losses)
        for index in range(len(self.nodes) - 1, -1, -1):
            if index in found:
                found.update(r for _, r in refs(self.nodes[index]))
        return found

    def args_of(self, index: int) -> list[Any]:
        """The values of a node's arguments."""
        if self.args[index] is None:
            self.args[index] = self.tape.arg_values(self.nodes[index], self.values)
        return self.args[index]

    def with_values(self, values: list[Array]) -> "Graph":
        """The same operations backward, at other values."""
        other = copy(self)
        other.values, other.args, other.right = values, [None] * len(values), None
        return other

    def right_pass(self) -> "Reverse":
        """The pass without mistakes, made once."""
        if self.right is None:
            self.right = Reverse(self, Mistake(""), None, None)
            self.right.gradients()
        return self.right

    def touched(self, edges: frozenset[Edge]) -> set[int]:
        """The nodes whose gradients these contributions are a part of, however indirectly."""
        if edges not in self.reached:
            into = [
                r
                for r, users in enumerate(self.users)
                if any((self.nodes[u].site, j) in edges for u, j in users)
            ]
            found = set(into)
            while into:
                for _, r in refs(self.nodes[into.pop()]):
                    if r not in found and self.users[r]:
                        found.add(r)
                        into.append(r)
            self.reached[edges] = found
        return self.reached[edges]

    def rerun(self, nodes: list[Node], given: Mapping[str, Array] | None = None) -> list[Array]:
        """The values of these nodes, or of other arguments."""
        values: list[Array] = []
        for node, old in zip(nodes, self.tape.values, strict=True):
            if node.op in ("argument", "constant"):
                name = self.tape.sites[node.site].name
                values.append((given or {}).get(name, old))
            else:
                values.append(call(node, self.tape.arg_values(node, values)))
        return values

    def gradients(self, mistake: Mistake | None = None, noise: Any = None) -> Gradients:
        """The gradient of each differentiated argument, with a mistake or none."""
        mistake = mistake or Mistake("")
        graph = mistake.forward(self) if mistake.forward else self
        if noise is not None:  # values are rounded, too
            graph = graph.with_values([_moved(v, noise) for v in graph.values])
        plain = noise is None and mistake.window is None
        if plain and mistake.final and not (mistake.edges or mistake.carry or mistake.weight):
            found = graph.right_pass().gradients()
        elif mistake.window is None:
            found = Reverse(graph, mistake, None, noise).gradients()
        else:
            each = [
                Reverse(graph, mistake, step, noise).gradients()
                for step in range(len(self.tape.losses))
            ]
            found = {name: np.sum([g[name] for g in each], axis=0) for name in each[0]}
        return mistake.final(self.tape, found) if mistake.final else found


class Reverse:
    """A pass from the losses back, demand-driven: a gradient is made when it is first asked for."""

    def __init__(self, graph: Graph, mistake: Mistake, only: int | None, noise: Any) -> None:
        self.graph, self.mistake, self.noise = graph, mistake, noise
        self.only = only
        self.made: dict[int, Array | None] = {}
        self.making: set[int] = set()
        self.losses: dict[int, float] = {}
        for step, index in enumerate(graph.tape.losses):
            weight = mistake.weight(step, len(graph.tape.losses)) if mistake.weight else 1.0
            if weight and only in (None, step):
                self.losses[index] = self.losses.get(index, 0.0) + weight
        self.carried: dict[tuple[int, int], Array] = {}
        if (
            noise is None
            and mistake.edges
            and not (mistake.carry or mistake.weight or only is not None)
        ):
            self._take_over(mistake)

    def _take_over(self, mistake: Mistake) -> None:
        """What altered contributions are no part of is as in the right pass: not made again."""
        touched = self.graph.touched(frozenset(mistake.edges))
        made = self.graph.right_pass().made
        self.made = {i: g for i, g in made.items() if i not in touched}

    def gradients(self) -> Gradients:
        """Of each differentiated argument."""
        for index in range(len(self.graph.nodes) - 1, -1, -1):
            if self.graph.users[index] or index in self.losses:
                self.of(index)
        found = {}
        for name in self.graph.tape.network.differentiated:
            index = self.graph.tape.arguments[name]
            g = self.of(index)
            found[name] = np.zeros_like(self.graph.values[index]) if g is None else np.asarray(g)
        return found

    def of(self, index: int) -> Array | None:
        """The gradient of a node's value; None: zero."""
        if index in self.made:
            return self.made[index]
        if index in self.making:
            raise ValueError("a gradient that depends on itself")
        self.making.add(index)
        total: Any = None
        if index in self.losses:
            total = np.full(np.shape(self.graph.values[index]), self.losses[index])
        carried = set()
        for user, j in self.graph.users[index]:
            state = self.graph.crossing.get((self.graph.nodes[user].site, j))
            if state is not None and state in self.mistake.carry:
                step = self.graph.nodes[user].step
                if (state, step) in carried:
                    continue
                carried.add((state, step))
                part: Any = self.mistake.carry[state](self, state, step)
                self.carried[state, step] = part
            else:
                part = self.part(user, j)
            if part is not None:
                total = part if total is None else total + part
        self.making.discard(index)
        self.made[index] = total
        return total

    def part(self, user: int, j: Any) -> Array | None:
        """What node `user` passes back to its argument j."""
        node = self.graph.nodes[user]
        if self.mistake.window is not None and self.only is not None:
            crosses = (node.site, j) in self.graph.crossing
            if crosses and node.step <= self.only - self.mistake.window:
                return None
        g = self.of(user)
        if g is None:
            return None
        how = self.mistake.edges.get((node.site, j))
        if how is None:
            graph = self.graph
            part: Any = passed_back(node, j, graph.args_of(user), graph.values[user], g)
        else:
            part = how(At(self, user, j, g))
        if self.noise is not None and part is not None:
            part = _moved(part, self.noise)
        return part

    def crossing(self, state: int, step: int) -> Array:
        """What the state of this site is passed back from this step; 0 after the last."""
        at = self.graph.tape.at
        total: Any = 0.0
        for (site, j), its in self.graph.crossing.items():
            if its == state and (site, step) in at:
                part = self.part(at[site, step], j)
                total = total if part is None else total + part
        return total


def _moved(a: Array, noise: Any) -> Array:
    """Each number by a small share of itself, up or down."""
    if np.asarray(a).dtype.kind != "f":
        return a
    generator, size = noise
    return np.asarray(a * (1 + size * (generator.integers(0, 2, np.shape(a)) * 2 - 1)))


@dataclass(slots=True)
class At:
    """A contribution in the making: from node `user`, whose gradient is g, to its argument j."""

    reverse: Reverse
    user: int
    j: Any
    g: Array

    @property
    def node(self) -> Node:
        """The operation."""
        return self.reverse.graph.nodes[self.user]

    @property
    def step(self) -> int:
        """The step it belongs to."""
        return self.node.step

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.reverse.graph.tape.losses)

    @property
    def out(self) -> Array:
        """Its value."""
        return self.reverse.graph.values[self.user]

    @property
    def args(self) -> list[Any]:
        """The values of its arguments."""
        return self.reverse.graph.args_of(self.user)

    def base(self, g: Array | None = None, args: list[Any] | None = None) -> Array:
        """What is right; or right for another g or other arguments."""
        values = self.args if args is None else args
        return passed_back(self.node, self.j, values, self.out, self.g if g is None else g)

    def replaced(self, at: int, value: Array) -> Array:
        """What is right, with another value for argument `at`."""
        args = list(self.args)
        args[at] = value
        return self.base(args=args)

    def value(self, index: int | None) -> Array:
        """The value of another node."""
        return self.reverse.graph.values[index] if index is not None else np.asarray(0.0)


__all__ = ["At", "Edge", "Gradients", "Graph", "Mistake", "Ref", "Reverse"]
