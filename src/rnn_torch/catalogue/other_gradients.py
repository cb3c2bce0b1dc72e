"""Which gradient goes into a contribution: another's, another step's, not all of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.reverse import At, Edge
from rnn_torch.tracing.step import Alteration, Getter, Step, result_of


def other_gradients(
    step: Step, user: int, j: Any, ref: int, path: str, same: bool
) -> Iterator[tuple[str, int, Alteration]]:
    """Of the contribution of `user` to its argument j, `ref`."""
    node, values, its = step.tape.nodes[user], step.tape.values, step.name(user)
    shape = np.shape(values[user])
    if shape:
        for m in step.inner:
            if m != user and step.graph.users[m] and np.shape(values[m]) == shape:
                text = f"{path} takes the gradient of {step.name(m)}, not of {its}"
                yield text, 4, _gradient_of(result_of(step.tape.nodes[m].site))
        for state in step.states:
            text = f"{path} takes only what comes back from the next step through"
            name = step.tape.sites[state].name or step.tape.sites[state].text
            if np.shape(values[step.tape.at[state, node.step]]) == shape and node.step >= 0:
                yield f"{text} {name}", 4, _from_next(state)
    own = result_of(node.site)
    late = f"{path} takes the next step's gradient of {its}"
    yield late, 2 if ref in step.leaf else 4, _gradient_of(lambda graph, t: own(graph, t + 1))
    if ref in step.leaf:
        into, batch = step.name(ref), step.tape.problem.sizes.get("batch")
        if np.ndim(values[ref]) == 1:
            spread = f"d{into} is summed over its own axis, too"
            yield spread, 2, lambda at: np.broadcast_to(at.base().sum(), np.shape(at.base()))
        for axis in [i for i, size in enumerate(shape) if size == batch]:
            single = f"d{into} has the first example only"
            yield single, 2, _first_example(axis)
        early = f"{path} takes the gradient of {its} of the step before"
        yield early, 4, _gradient_of(lambda graph, t: own(graph, t - 1))
        if "batch" in step.tape.problem.sizes:
            mean = f"d{step.name(ref)} is the mean over the batch, not the sum"
            yield mean, 1, lambda at: at.base() / at.reverse.graph.tape.problem.sizes["batch"]
    through_sums = _summed_up(step, user)
    own_site, its = step.tape.nodes[through_sums].site, step.name(through_sums)
    sources = list(
        dict.fromkeys((step.tape.nodes[u].site, k) for u, k in step.graph.users[through_sums])
    )
    if len(sources) < 2:
        return
    for edge in sources:
        through = step.tape.at.get((edge[0], node.step + (edge in step.graph.crossing)))
        label = "from the next step" if edge in step.graph.crossing else "through"
        label += f" {step.name(through)}" if through is not None and label == "through" else ""
        if edge in step.graph.crossing and through is not None:
            label += f" through {step.name(through)}"
        reaches = f"what reaches {its} {label}"
        yield f"{path} lacks {reaches}", 2, _without(own_site, edge)
        if same and node.op != "add":
            yield (
                f"{reaches} goes on to {step.name(ref)} without the derivative",
                2,
                _bare(own_site, edge),
            )
        if len(sources) > 2:
            yield f"{path} has only {reaches}", 3, _only(own_site, edge)
    within = [e for e in sources if e not in step.graph.crossing]
    if len(within) < len(sources):
        text = f"{path} has what reaches {its} from the next step in place of its own step's"
        yield text, 2, _replaced_by_next(own_site, within)
    crossing = [e for e in sources if e in step.graph.crossing]
    if 1 < len(crossing) < len(sources):
        yield (
            f"{path} lacks what reaches {its} from the next step",
            2,
            _without(own_site, *crossing),
        )
        if same and node.op != "add":
            text = f"what reaches {its} from the next step goes on to {step.name(ref)}"
            yield f"{text} without the derivative", 2, _bare(own_site, *crossing)


def _gradient_of(get: Getter) -> Alteration:
    def alteration(at: At) -> Array | None:
        index = get(at.reverse.graph, at.step)
        other = None if index is None else at.reverse.of(index)
        return None if other is None else at.base(other)

    return alteration


def _from_next(state: int) -> Alteration:
    return lambda at: at.base(at.reverse.crossing(state, at.step + 1) + 0 * at.g)


def _summed_up(step: Step, user: int) -> int:
    """The sum that a node is only a term of, if it is: their gradients are the same."""
    users = step.graph.users[user]
    while len(users) == 1 and step.tape.nodes[users[0][0]].op == "add":
        after = users[0][0]
        same = np.shape(step.tape.values[after]) == np.shape(step.tape.values[user])
        if step.tape.nodes[after].step != step.tape.nodes[user].step or not same:
            break
        user, users = after, step.graph.users[after]
    return user


def _first_example(axis: int) -> Alteration:
    def alteration(at: At) -> Array:
        first = np.zeros_like(at.g)
        its = (slice(None),) * axis + (slice(0, 1),)
        first[its] = at.g[its]
        return at.base(first)

    return alteration


def _of_sources(at: At, site: int, edges: tuple[Edge, ...]) -> Any:
    graph, total = at.reverse.graph, 0 * at.g
    for user, j in graph.users[graph.tape.at[site, at.step]]:
        if (graph.nodes[user].site, j) in edges:
            part = at.reverse.part(user, j)
            total = total if part is None else total + part
    return total


def _without(site: int, *edges: Edge) -> Alteration:
    return lambda at: at.base(at.g - _of_sources(at, site, edges))


def _only(site: int, *edges: Edge) -> Alteration:
    return lambda at: at.base(_of_sources(at, site, edges))


def _replaced_by_next(site: int, within: list[Edge]) -> Alteration:
    def alteration(at: At) -> Array:
        last = at.step == at.steps - 1
        return at.base(at.g if last else at.g - _of_sources(at, site, tuple(within)))

    return alteration


def _bare(site: int, *edges: Edge) -> Alteration:
    def alteration(at: At) -> Array:
        part = _of_sources(at, site, edges)
        return at.base(at.g - part) + part

    return alteration
