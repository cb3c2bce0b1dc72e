"""Several contributions altered together: gradients assigned, weights or gates swapped."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.calls import call, passed_back
from rnn_torch.tracing.reverse import At, Edge, Mistake
from rnn_torch.tracing.step import VIEWS, Alteration, Step, argument_of, now, replaced
from rnn_torch.tracing.tape import Ref


def path_mistakes(step: Step) -> Iterator[Mistake]:
    """Every one of them, of the step."""
    into: dict[int, list[Edge]] = {}
    nodes, values = step.tape.nodes, step.tape.values
    for user, j, ref in step.edges:
        into.setdefault(ref, []).append((nodes[user].site, j))
    for ref, edges in into.items():
        if len(edges) > 2 and ref not in step.leaf:
            for kept in edges:
                user = step.tape.at[kept[0], nodes[step.inner[0]].step]
                text = f"only the path {step.name(user)} -> {step.name(ref)} is left (= for +=)"
                cut = {edge: (lambda at: None) for edge in edges if edge != kept}
                yield Mistake(text, step.where(user), 1, edges=cut)
    for user in step.inner:
        its = nodes[user]
        two = [a for a in its.args[:2] if isinstance(a, Ref)]
        if (
            its.op == "mul"
            and len(two) == 2
            and np.shape(values[two[0]]) == np.shape(values[two[1]])
        ):
            text = f"both paths of {step.name(user)} are multiplied by their own factor"
            own = {(its.site, j): (lambda at: at.g * at.args[at.j]) for j in (0, 1)}
            yield Mistake(f"{text}, not by the other", step.where(user), 2, edges=own)
    yield from _weights_swapped(step)
    yield from _parts(step)


def _weights_swapped(step: Step) -> Iterator[Mistake]:
    nodes, values = step.tape.nodes, step.tape.values
    back = [(u, j) for u, j, ref in step.edges if nodes[u].op == "mm" and ref not in step.leaf]
    for a, j in back:
        for b, k in back:
            w, v = (nodes[u].args[1 - i] for u, i in ((a, j), (b, k)))
            if a < b and j == k and w != v and np.shape(values[w]) == np.shape(values[v]):
                text = f"{step.name(w)} and {step.name(v)} change places on the way back"
                swap = {
                    (nodes[x].site, j): replaced(1 - j, now(argument_of(nodes[y].site, 1 - j)))
                    for x, y in ((a, b), (b, a))
                }
                yield Mistake(text, step.where(a), 2, edges=swap)


def _parts(step: Step) -> Iterator[Mistake]:
    """Gates side by side: put together in another order; one missing, swapped, not yet derived."""
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
                put = [names[order.index(i)] for i in range(len(order))]
                text = f"the gates are put together as {', '.join(put)}, not {', '.join(names)}"
                yield Mistake(text, step.where(parts[0]), 2, edges=placed)
        for user, j, ref in step.edges:
            if user not in _summands(step, source):
                continue
            edge, path = (nodes[user].site, j), f"the path {step.name(user)} -> {step.name(ref)}"
            for a, name in zip(sites, names, strict=True):
                lacks = {edge: lambda at, a=a: at.base(at.g - _in_place(at, a, _taken(at, a)))}
                yield Mistake(f"{path} lacks {name}'s part", step.where(user), 2, edges=lacks)
                for b, other in zip(sites, names, strict=True):
                    if a != b:
                        text = f"{path} has {other}'s part in {name}'s place"
                        yield Mistake(text, step.where(user), 3, edges={edge: _doubled(a, b)})
            raw = {edge: _before_their_derivatives(sites)}
            text = f"{path} takes the gates' gradients before their derivatives"
            yield Mistake(text, step.where(user), 2, edges=raw)


def _summands(step: Step, source: int) -> list[int]:
    """The source, and what is added up to it, if that has its shape."""
    found, shape = [source], np.shape(step.tape.values[source])
    for index in found:
        node = step.tape.nodes[index]
        if node.op == "add" and index in step.inner:
            more = [a for a in node.args if isinstance(a, Ref) and a in step.inner]
            found += [a for a in more if np.shape(step.tape.values[a]) == shape]
    return found


def _member(at: At, site: int) -> Any:
    return at.reverse.graph.tape.at[site, at.step]


def _in_place(at: At, site: int, g: Array) -> Array:
    """g where this part has its place in the whole, 0 elsewhere."""
    graph, index = at.reverse.graph, _member(at, site)
    node = graph.nodes[index]
    return passed_back(node, 0, graph.tape.arg_values(node, graph.values), graph.values[index], g)


def _taken(at: At, site: int) -> Array:
    graph = at.reverse.graph
    node = graph.nodes[_member(at, site)]
    return call(node, [at.g, *graph.tape.arg_values(node, graph.values)[1:]])


def _placed_at(site: int) -> Alteration:
    return lambda at: _in_place(at, site, at.g)


def _doubled(a: int, b: int) -> Alteration:
    return lambda at: at.base(
        at.g - _in_place(at, a, _taken(at, a)) + _in_place(at, a, _taken(at, b))
    )


def _before_their_derivatives(sites: list[int]) -> Alteration:
    def alteration(at: At) -> Array | None:
        total = 0 * at.g
        for site in sites:
            users = at.reverse.graph.users[_member(at, site)]
            g = at.reverse.of(users[0][0]) if len(users) == 1 else None
            if g is None or np.shape(g) != np.shape(_taken(at, site)):
                return None
            total = total + _in_place(at, site, g)
        return at.base(total)

    return alteration
