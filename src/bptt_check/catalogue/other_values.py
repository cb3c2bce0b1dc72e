"""Wrong values in the backward pass, after a right forward pass: recomputed, or of other steps."""

from collections.abc import Callable, Iterator
from typing import Any

from bptt_check.networks.network import Array
from bptt_check.tracing.calls import VALUES
from bptt_check.tracing.reverse import Graph, Mistake
from bptt_check.tracing.step import Step

_ACTIVATIONS = ("sigmoid", "tanh", "relu")


def value_mistakes(step: Step) -> Iterator[Mistake]:
    """An activation of which the backward pass takes another value wherever it uses it."""
    for user in step.inner:
        node, name = step.tape.nodes[user], step.name(user)
        if node.op not in _ACTIVATIONS or not step.graph.users[user]:
            continue
        where = step.where(user)
        for op in _ACTIVATIONS:
            if op != node.op:
                text = f"the backward pass recomputes {name} with {op}, not {node.op}"
                yield Mistake(text, where, 4, forward=_recomputed(node.site, VALUES[op]))
        text = f"the backward pass takes the argument of {name} for {name}"
        yield Mistake(text, where, 4, forward=_recomputed(node.site, lambda a: a))
        state = step.tape.nodes[node.args[0]].site
        if state in step.states:
            label = step.tape.sites[state].name or step.tape.sites[state].text
            for offset in (1, -1):
                text = f"the backward pass takes {name} of {label}_(t{offset:+})"
                note = ", the initial state at index -1"
                moved = _of_other_step(step, node.site, state, offset)
                yield Mistake(text + note, where, 4, forward=moved)


def _recomputed(site: int, function: Callable[[Any], Any]) -> Callable[[Graph], Graph]:
    def forward(right: Graph) -> Graph:
        values = list(right.values)
        for index, node in enumerate(right.nodes):
            if node.site == site:
                values[index] = function(right.args_of(index)[0])
        return right.with_values(values)

    return forward


def _of_other_step(step: Step, site: int, state: int, offset: int) -> Callable[[Graph], Graph]:
    op, first = step.tape.nodes[step.of[site]].op, step.initial.get(state)

    def forward(right: Graph) -> Graph:
        values, steps = list(right.values), len(right.tape.losses)
        places: list[Array] = [right.values[right.tape.node_at[state, t]] for t in range(steps)]
        places.append(right.values[first] if first is not None else 0 * places[0])
        for t in range(steps):
            values[right.tape.node_at[site, t]] = VALUES[op](places[(t + offset) % (steps + 1)])
        return right.with_values(values)

    return forward
