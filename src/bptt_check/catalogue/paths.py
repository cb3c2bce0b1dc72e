"""Several contributions altered together: gradients assigned, weights or gates swapped."""

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.calls import call, passed_back
from bptt_check.tracing.reverse import Contribution, Edge, Mistake
from bptt_check.tracing.step import Alteration, Step, argument_of, current, replaced
from bptt_check.tracing.tape import VIEWS, Ref

_MOST_PATHS = 5  # to one quantity, of which several remain


def path_mistakes(step: Step) -> Iterator[Mistake]:
    """The mistakes of this kind in a step."""
    paths: dict[int, list[Edge]] = {}
    nodes, values = step.tape.nodes, step.tape.values
    for user, j, ref in step.edges:
        paths.setdefault(ref, []).append((nodes[user].site, j))
    for ref, edges in paths.items():
        few = len(edges) <= _MOST_PATHS
        for count in range(1, len(edges) - 1 if few else min(2, len(edges) - 1)):
            for kept in combinations(edges, count) if ref not in step.leaf else ():
                users = [step.of[site] for site, _ in kept]
                said = " and ".join(f"{step.name(user)} -> {step.name(ref)}" for user in users)
                verb = "path {} remains" if count == 1 else "paths {} remain"
                cut = {edge: (lambda c: None) for edge in edges if edge not in kept}
                text = f"only the {verb.format(said)} (= for +=)"
                yield Mistake(text, step.where(users[0]), count, edges=cut)
    for user in step.inner:
        node = nodes[user]
        factors = [a for a in node.args[:2] if isinstance(a, Ref)]
        if (
            node.op == "mul"
            and len(factors) == 2
            and np.shape(values[factors[0]]) == np.shape(values[factors[1]])
        ):
            text = f"both paths of {step.name(user)} are multiplied by their own factor"
            swapped = {(node.site, j): (lambda c: c.g * c.args[c.j]) for j in (0, 1)}
            yield Mistake(f"{text}, not by the other", step.where(user), 2, edges=swapped)
    yield from _weights_swapped(step)
    yield from _parts(step)


def _weights_swapped(step: Step) -> Iterator[Mistake]:
    nodes, values = step.tape.nodes, step.tape.values
    products = [(u, j) for u, j, ref in step.edges if nodes[u].op == "mm" and ref not in step.leaf]
    for a, j in products:
        for b, k in products:
            w, v = (nodes[u].args[1 - i] for u, i in ((a, j), (b, k)))
            if a < b and j == k and w != v and np.shape(values[w]) == np.shape(values[v]):
                text = f"{step.name(w)} and {step.name(v)} are swapped in the backward pass"
                swap = {
                    (nodes[x].site, j): replaced(1 - j, current(argument_of(nodes[y].site, 1 - j)))
                    for x, y in ((a, b), (b, a))
                }
                yield Mistake(text, step.where(a), 2, edges=swap)


def _parts(step: Step) -> Iterator[Mistake]:
    """Concatenated gates: in another order; one missing, swapped, or without its derivative."""
    nodes, tape = step.tape.nodes, step.tape
    groups: dict[int, list[int]] = {}
    for i in step.inner:
        if nodes[i].op in VIEWS and isinstance(nodes[i].args[0], Ref) and step.graph.users[i]:
            groups.setdefault(nodes[i].args[0], []).append(i)
    for source, parts in groups.items():
        if len({np.shape(tape.values[p]) for p in parts}) > 1 or len(parts) < 2:
            continue
        sites, names = [nodes[p].site for p in parts], [step.name(p) for p in parts]
        for order in permutations(range(len(parts))):
            if len(parts) <= 4 and order != tuple(range(len(parts))):
                placed = {(sites[i], 0): _placed_at(sites[o]) for i, o in enumerate(order)}
                wrong = [names[order.index(i)] for i in range(len(order))]
                text = f"the gates are concatenated as {', '.join(wrong)}, not {', '.join(names)}"
                yield Mistake(text, step.where(parts[0]), 2, edges=placed)
        for user, j, ref in step.edges:
            if user not in _summands(step, source):
                continue
            edge, path = (nodes[user].site, j), f"the path {step.name(user)} -> {step.name(ref)}"
            for a, name in zip(sites, names, strict=True):
                lacks = {edge: lambda c, a=a: c.base(c.g - _in_place(c, a, _part_of(c, a)))}
                yield Mistake(f"{path} lacks {name}'s part", step.where(user), 2, edges=lacks)
                for b, wrong_name in zip(sites, names, strict=True):
                    if a != b:
                        text = f"{path} has {wrong_name}'s part in {name}'s place"
                        yield Mistake(text, step.where(user), 3, edges={edge: _doubled(a, b)})
            raw = {edge: _before_their_derivatives(sites)}
            text = f"{path} takes the gates' gradients before their derivatives"
            yield Mistake(text, step.where(user), 2, edges=raw)


def _summands(step: Step, source: int) -> list[int]:
    """The source, and the terms of the sums that form it, if they have its shape."""
    found, shape = [source], np.shape(step.tape.values[source])
    for index in found:
        node = step.tape.nodes[index]
        if node.op == "add" and index in step.inner:
            terms = [a for a in node.args if isinstance(a, Ref) and a in step.inner]
            found += [a for a in terms if np.shape(step.tape.values[a]) == shape]
    return found


def _member(c: Contribution, site: int) -> Any:
    return c.reverse.graph.tape.node_at[site, c.step]


def _in_place(c: Contribution, site: int, g: Array) -> Array:
    """g at the entries of this part of the array, 0 elsewhere."""
    graph, index = c.reverse.graph, _member(c, site)
    node = graph.nodes[index]
    return passed_back(node, 0, graph.tape.arg_values(node, graph.values), graph.values[index], g)


def _part_of(c: Contribution, site: int) -> Array:
    graph = c.reverse.graph
    node = graph.nodes[_member(c, site)]
    return call(node, [c.g, *graph.tape.arg_values(node, graph.values)[1:]])


def _placed_at(site: int) -> Alteration:
    return lambda c: _in_place(c, site, c.g)


def _doubled(a: int, b: int) -> Alteration:
    return lambda c: c.base(c.g - _in_place(c, a, _part_of(c, a)) + _in_place(c, a, _part_of(c, b)))


def _before_their_derivatives(sites: list[int]) -> Alteration:
    def alteration(c: Contribution) -> Array | None:
        total = 0 * c.g
        for site in sites:
            users = c.reverse.graph.users[_member(c, site)]
            g = c.reverse.of(users[0][0]) if len(users) == 1 else None
            if g is None or np.shape(g) != np.shape(_part_of(c, site)):
                return None
            total = total + _in_place(c, site, g)
        return c.base(total)

    return alteration
