"""The reverse pass over a tape; each contribution is explicit, so that it can be altered."""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.calls import call, passed_back
from bptt_check.tracing.mistakes import Edge
from bptt_check.tracing.tape import Node, Tape, refs

Gradients = dict[str, Array]
Noise = tuple[np.random.Generator, float]  # signs, and their size: the share of a number


class Altered(NamedTuple):
    """What is altered in a reverse pass; nothing by default.

    `edges`: the contribution of a site to an argument; None for zero. `carry`: the error passed
    back to a state (its site) from the next step. `weight`: the factor of a step's loss. `window`:
    the number of steps that an error is passed back.
    """

    edges: Mapping[Edge, Callable[["Contribution"], Array | None]] = {}
    carry: Mapping[int, Callable[["Reverse", int, int], Array]] = {}
    weight: Callable[[int, int], float] | None = None
    window: int | None = None


NOTHING = Altered()


class Graph:
    """A tape with what its reverse pass needs: the users of each node, the edges between steps.

    Nodes and values may be those of an altered forward pass.
    """

    def __init__(
        self, tape: Tape, nodes: list[Node] | None = None, values: list[Array] | None = None
    ) -> None:
        self.tape, self.nodes = tape, nodes or tape.nodes
        self.values = values or tape.values
        self.forget()
        self.noise: Noise | None = None
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
            inputs = [(j, r) for j, r in refs(node) if carries[r]]
            carries.append(bool(inputs) and np.asarray(self.values[index]).dtype.kind in "fc")
            if carries[-1] and index in used:
                for j, r in inputs:
                    self.users[r].append((index, j))
        #: (site, argument) -> the site of the state that it takes from the previous step.
        self.crossing: dict[Edge, int] = {}
        if len(tape.losses) == 1 and tape.template:  # a single step has no edge between steps
            self.crossing = Graph(tape.template).crossing
        self.takers: dict[Edge, list[int]] = {}  # the nodes that an edge leads to
        for user, j, ref in ((u, j, r) for r, us in enumerate(self.users) for u, j in us):
            edge = self.nodes[user].site, j
            self.takers.setdefault(edge, []).append(ref)
            if -1 < self.nodes[ref].step < self.nodes[user].step:
                self.crossing[edge] = self.nodes[ref].site
        ends = set(tape.losses)
        #: The nodes with a gradient, each after all its users.
        self.order = [i for i, us in enumerate(self.users) if us or i in ends][::-1]

    def forget(self) -> None:
        """Forget what depends on the values."""
        self.args: list[Any] = [None] * len(self.nodes)
        self.right: Reverse | None = None

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

    def back(self, user: int, j: Any, g: Array) -> Array:
        """The contribution of g, the gradient of a node, to that of its argument j."""
        return passed_back(self.nodes[user], j, self.args_of(user), self.values[user], g)

    def with_values(self, values: list[Array]) -> "Graph":
        """The same reverse pass, at other values."""
        graph = copy(self)
        graph.values = values
        graph.forget()
        return graph

    def right_pass(self) -> "Reverse":
        """The pass without mistakes, computed once."""
        if self.right is None:
            self.right = Reverse(self, NOTHING)
            self.right.gradients()
        return self.right

    def touched(self, edges: frozenset[Edge]) -> set[int]:
        """The nodes whose gradients depend on these contributions."""
        if edges not in self.reached:
            found = {r for edge in edges for r in self.takers.get(edge, ())}
            pending = list(found)
            while pending:
                new = {r for _, r in refs(self.nodes[pending.pop()]) if self.users[r]} - found
                found |= new
                pending += new
            self.reached[edges] = found
        return self.reached[edges]

    def rerun(self, nodes: list[Node], changed: Mapping[str, Array] | None = None) -> list[Array]:
        """The values that these nodes compute, with some arguments replaced by `changed`."""
        values: list[Array] = []
        moved: set[int] = set()  # what does not depend on a change keeps its value
        for index, (node, was) in enumerate(zip(nodes, self.tape.nodes, strict=True)):
            value, args = self.tape.values[index], None
            if node.op in ("argument", "constant"):
                name = self.tape.sites[node.site].name
                if changed and name in changed:
                    value = changed[name]
                    moved.add(index)
            elif self.noise or node is not was or any(r in moved for _, r in refs(node)):
                args = self.tape.arg_values(node, values)
                value = call(node, args)
                moved.add(index)
            if self.noise:
                terms = abs(args[0]) @ abs(args[1]) if args and node.op == "mm" else value
                value = _moved(value, terms, self.noise)
            values.append(value)
        return values

    def with_noise(self, noise: Noise) -> "Graph":
        """The graph with each value moved at random, and with it what depends on it."""
        graph = copy(self)
        graph.noise = noise
        return graph.with_values(graph.rerun(graph.nodes))

    def edited(self, nodes: list[Node], values: list[Array]) -> "Graph":
        """The reverse pass of other nodes of the same tape, at other values."""
        graph = self.with_values(values)
        if any(a is not b and a.args != b.args for a, b in zip(nodes, self.nodes, strict=True)):
            graph = Graph(self.tape, nodes, values)
        graph.nodes, graph.noise = nodes, self.noise
        return graph

    def gradients(self, altered: Altered = NOTHING) -> Gradients:
        """The gradient of each differentiated argument."""
        if altered.window is None:
            return Reverse(self, altered).gradients()
        steps = range(len(self.tape.losses))
        parts = [Reverse(self, altered, step).gradients() for step in steps]
        return {name: np.sum([g[name] for g in parts], axis=0) for name in parts[0]}


class Reverse:
    """A reverse pass from the losses, or one of them, that computes each gradient on demand."""

    def __init__(self, graph: Graph, altered: Altered, loss_step: int | None = None) -> None:
        self.graph, self.altered, self.noise = graph, altered, graph.noise
        self.computed: dict[int, Array | None] = {}
        self.cut = -1  # no error is passed back from this or an earlier step
        if altered.window is not None and loss_step is not None:
            self.cut = loss_step - altered.window
            steps = ((i, node.step) for i, node in enumerate(graph.nodes))
            self.computed = dict.fromkeys(i for i, s in steps if s > loss_step or -1 < s < self.cut)
        self.in_progress: set[int] = set()
        self.losses: dict[int, float] = {}
        for step, index in enumerate(graph.tape.losses):
            weight = altered.weight(step, len(graph.tape.losses)) if altered.weight else 1.0
            if weight and loss_step in (None, step):
                self.losses[index] = self.losses.get(index, 0.0) + weight
        self.carried: dict[tuple[int, int], Array] = {}
        is_of_edges = not (altered.carry or altered.weight or graph.noise or loss_step is not None)
        if altered.edges and is_of_edges:  # reuse what does not depend on them
            touched, right = graph.touched(frozenset(altered.edges)), graph.right_pass().computed
            self.computed = {i: g for i, g in right.items() if i not in touched}

    def gradients(self) -> Gradients:
        """The gradient of each differentiated argument."""
        try:
            for index in self.graph.order:
                self.of(index)
        except RecursionError:  # a mistake that passes errors forward in time
            self.in_progress.clear()
            for index in sorted(self.graph.order, key=lambda i: self.graph.nodes[i].step):
                self.of(index)
        found = {}
        for name in self.graph.tape.network.differentiated:
            index = self.graph.tape.arguments[name]
            g = self.of(index)
            found[name] = np.zeros_like(self.graph.values[index]) if g is None else np.asarray(g)
        return found

    def of(self, index: int) -> Array | None:
        """The gradient of a node's value; None for zero."""
        if index in self.computed:
            return self.computed[index]
        if index in self.in_progress:
            raise ValueError("a gradient that depends on itself")
        self.in_progress.add(index)
        total: Any = None
        if index in self.losses:
            total = np.full(np.shape(self.graph.values[index]), self.losses[index])
        carried, carry = set(), self.altered.carry
        for user, j in self.graph.users[index]:
            state = self.graph.crossing.get((self.graph.nodes[user].site, j)) if carry else None
            if state is not None and state in carry:
                step = self.graph.nodes[user].step
                if (state, step) in carried:
                    continue
                carried.add((state, step))
                part: Any = carry[state](self, state, step)
                self.carried[state, step] = part
            else:
                part = self.part(user, j)
            if part is not None:
                total = part if total is None else total + part
        self.in_progress.discard(index)
        if np.iscomplexobj(total) and not np.iscomplexobj(self.graph.values[index]):
            total = total.real  # of a mistake
        self.computed[index] = total
        return total

    def part(self, user: int, j: Any) -> Array | None:
        """The contribution of node `user` to the gradient of its argument j."""
        graph = self.graph
        node = graph.nodes[user]
        edge = node.site, j
        if node.step <= self.cut and edge in graph.crossing:
            return None
        g = self.computed[user] if user in self.computed else self.of(user)
        if g is None:
            return None
        if edge in self.altered.edges:
            part: Any = self.altered.edges[edge](Contribution(self, user, j, g))
        else:
            part = graph.back(user, j, g)
        if self.noise is not None and part is not None:
            part = _moved(part, self._terms(user, j, g, part), self.noise)
        return part

    def _terms(self, user: int, j: Any, g: Array, part: Array) -> Array:
        """The sum of the magnitudes of the terms that a contribution is the sum of."""
        node = self.graph.nodes[user]
        if node.op not in ("mm", "mul", "add", "sub") or (node.site, j) in self.altered.edges:
            return part
        args = [abs(a) if isinstance(a, np.ndarray) else a for a in self.graph.args_of(user)]
        return passed_back(node, j, args, self.graph.values[user], abs(g))

    def crossing(self, state: int, step: int) -> Array:
        """The error passed back from this step to the state of this site; 0 after the last step."""
        node_at = self.graph.tape.node_at
        total: Any = 0.0
        for (site, j), source in self.graph.crossing.items():
            if source == state and (site, step) in node_at:
                part = self.part(node_at[site, step], j)
                total = total if part is None else total + part
        return total


def _moved(a: Array, terms: Array, noise: Noise) -> Array:
    """Each number, moved up or down by a small share of its terms."""
    if np.asarray(a).dtype.kind not in "fc":
        return a
    generator, size = noise
    signs = generator.integers(0, 2, np.shape(a)) * 2 - 1
    if np.iscomplexobj(a):
        signs = signs + 1j * (generator.integers(0, 2, np.shape(a)) * 2 - 1)
    return np.asarray(a + terms * (size * signs))


class Contribution:
    """A contribution: from node `user`, whose gradient is g, to the gradient of its argument j.

    `out`, `args`: the values of the operation and its arguments; `edge`: its site and j.
    """

    def __init__(self, reverse: "Reverse", user: int, j: Any, g: Array) -> None:
        graph = reverse.graph
        self.reverse, self.user, self.j, self.g = reverse, user, j, g
        self.node: Node = graph.nodes[user]
        self.edge: Edge = (self.node.site, j)
        self.step, self.steps = self.node.step, len(graph.tape.losses)
        self.out, self.args = graph.values[user], graph.args_of(user)

    def base(self, g: Array | None = None, args: list[Any] | None = None) -> Array:
        """The right contribution, for this or another g and these or other arguments."""
        values, its = self.args if args is None else args, self.g if g is None else g
        its = its if np.iscomplexobj(self.out) else np.real(its)
        return passed_back(self.node, self.j, values, self.out, its)

    def times(self, factor: Array) -> Array:
        """The right contribution, with another value for the other one of two arguments."""
        args = list(self.args)
        args[1 - self.j] = factor
        return self.base(args=args)

    def value(self, index: int | None) -> Array:
        """The value of another node."""
        return self.reverse.graph.values[index] if index is not None else np.asarray(0.0)
