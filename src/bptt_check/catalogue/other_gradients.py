"""A contribution made from a wrong gradient: of another node, of another step, or incomplete."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Contribution, Edge
from bptt_check.tracing.step import Alteration, Getter, Step, current, result_of


def other_gradients(
    step: Step, user: int, j: Any, ref: int, path: str, same_shape: bool
) -> Iterator[tuple[str, int, Alteration]]:
    """The mistakes of this kind in the contribution of `user` to its argument j, `ref`."""
    node, values, name = step.tape.nodes[user], step.tape.values, step.name(user)
    shape = np.shape(values[user])
    if shape:
        for m in step.inner:
            if m != user and step.graph.users[m] and np.shape(values[m]) == shape:
                text = f"{path} takes the gradient of {step.name(m)}, not of {name}"
                yield text, 4, _gradient_of(result_of(step.tape.nodes[m].site))
        for state in step.states:
            text = f"{path} takes only the gradient from the next step through"
            label = step.tape.sites[state].name or step.tape.sites[state].text
            if np.shape(values[step.of[state]]) == shape and node.step >= 0:
                yield f"{text} {label}", 4, _from_next(state)
        subject = f"d{step.name(ref)}" if ref in step.leaf else path
        for label, get in step.alike(shape, *(() if ref in step.leaf else (user,))):
            taken = f"{subject} takes {label}"
            yield f"{taken} for the gradient of {name}", 5, _value_for_gradient(current(get))
            if ref in step.leaf or node.op == "mm":
                text = f"{taken} of the last step for the gradient of {name}"
                yield text, 5, _value_for_gradient(_of_last_step(get))
    result = result_of(node.site)
    for label, last in (("first", False), ("last", True)):
        text = f"{path} takes the {label} step's gradient of {name} at every step"
        yield text, 4, _gradient_of(_at_end(result, last))
    text = f"{path} takes the next step's gradient of {name}"
    yield text, 2 if ref in step.leaf else 4, _gradient_of(lambda graph, t: result(graph, t + 1))
    if ref in step.leaf:
        leaf, batch = step.name(ref), step.tape.problem.sizes.get("batch")
        if np.ndim(values[ref]) == 1:
            text = f"d{leaf} is also summed over its own axis"
            yield text, 2, lambda c: np.broadcast_to(c.base().sum(), np.shape(c.base()))
        for axis in [i for i, size in enumerate(shape) if size == batch]:
            yield f"d{leaf} has only the first example", 2, _first_example(axis)
            if np.ndim(values[ref]) < len(shape):
                text = f"d{leaf} is the maximum over the batch, not the sum"
                yield text, 3, _largest_over(axis)
        text = f"{path} takes the previous step's gradient of {name}"
        yield text, 4, _gradient_of(lambda graph, t: result(graph, t - 1))
        if "batch" in step.tape.problem.sizes:
            text = f"d{leaf} is the mean over the batch, not the sum"
            yield text, 1, lambda c: c.base() / c.reverse.graph.tape.problem.sizes["batch"]
    yield from _incomplete(step, user, ref, path, same_shape)


def _incomplete(
    step: Step, user: int, ref: int, path: str, same_shape: bool
) -> Iterator[tuple[str, int, Alteration]]:
    """The gradient of `user`, or of the sum it is a term of, without some of its sources."""
    node, total = step.tape.nodes[user], _sum_of(step, user)
    site, name = step.tape.nodes[total].site, step.name(total)
    sources = list(dict.fromkeys((step.tape.nodes[u].site, k) for u, k in step.graph.users[total]))
    if len(sources) < 2:
        return
    bare = f"reaches {step.name(ref)} without the derivative"
    crossing = [e for e in sources if e in step.graph.crossing]
    for edge in sources:
        source = step.tape.node_at.get((edge[0], node.step + (edge in crossing)))
        label = " from the next step" if edge in crossing else ""
        label += f" through {step.name(source)}" if source is not None else ""
        part = f"the gradient of {name}{label}"
        yield f"{path} lacks {part}", 2, _without(site, edge)
        if same_shape and node.op != "add":
            yield f"{part} {bare}", 2, _bare(site, edge)
        if len(sources) > 2:
            yield f"{path} has only {part}", 3, _only(site, edge)
    part = f"the gradient of {name} from the next step"
    if crossing:
        text = f"{path} has {part} in place of that from its own step"
        yield text, 2, _replaced_by_next(site, [e for e in sources if e not in crossing])
    if 1 < len(crossing) < len(sources):
        yield f"{path} lacks {part}", 2, _without(site, *crossing)
        if same_shape and node.op != "add":
            yield f"{part} {bare}", 2, _bare(site, *crossing)


def _gradient_of(get: Getter) -> Alteration:
    def alteration(c: Contribution) -> Array | None:
        index = get(c.reverse.graph, c.step)
        g = None if index is None else c.reverse.of(index)
        return None if g is None else c.base(g)

    return alteration


def _from_next(state: int) -> Alteration:
    return lambda c: c.base(c.reverse.crossing(state, c.step + 1) + 0 * c.g)


def _sum_of(step: Step, user: int) -> int:
    """The sum that a node is only used as a term of, if any: their gradients are equal."""
    users = step.graph.users[user]
    while len(users) == 1 and step.tape.nodes[users[0][0]].op == "add":
        total = users[0][0]
        same_shape = np.shape(step.tape.values[total]) == np.shape(step.tape.values[user])
        if step.tape.nodes[total].step != step.tape.nodes[user].step or not same_shape:
            break
        user, users = total, step.graph.users[total]
    return user


def _largest_over(axis: int) -> Alteration:
    return lambda c: c.g.max(axis).reshape(np.shape(c.base()))


def _value_for_gradient(value: Callable[[Contribution], Any]) -> Alteration:
    return lambda c: c.base(value(c))


def _of_last_step(get: Getter) -> Callable[[Contribution], Any]:
    return lambda c: c.value(get(c.reverse.graph, c.steps - 1))


def _at_end(get: Getter, last: bool) -> Getter:
    return lambda graph, step: get(graph, len(graph.tape.losses) - 1 if last else 0)


def _first_example(axis: int) -> Alteration:
    def alteration(c: Contribution) -> Array:
        g = np.zeros_like(c.g)
        example = (slice(None),) * axis + (slice(0, 1),)
        g[example] = c.g[example]
        return c.base(g)

    return alteration


def _of_sources(c: Contribution, site: int, edges: tuple[Edge, ...]) -> Any:
    graph, total = c.reverse.graph, 0 * c.g
    for user, j in graph.users[graph.tape.node_at[site, c.step]]:
        if (graph.nodes[user].site, j) in edges:
            part = c.reverse.part(user, j)
            total = total if part is None else total + part
    return total


def _without(site: int, *edges: Edge) -> Alteration:
    return lambda c: c.base(c.g - _of_sources(c, site, edges))


def _only(site: int, *edges: Edge) -> Alteration:
    return lambda c: c.base(_of_sources(c, site, edges))


def _replaced_by_next(site: int, inner: list[Edge]) -> Alteration:
    def alteration(c: Contribution) -> Array:
        is_last = c.step == c.steps - 1
        return c.base(c.g if is_last else c.g - _of_sources(c, site, tuple(inner)))

    return alteration


def _bare(site: int, *edges: Edge) -> Alteration:
    def alteration(c: Contribution) -> Array:
        part = _of_sources(c, site, edges)
        return c.base(c.g - part) + part

    return alteration
