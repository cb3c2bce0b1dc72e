"""Mistakes in sums over the steps, and in the error that a state is passed back."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.reverse import At, Edge, Mistake, Reverse
from rnn_torch.tracing.step import Step


def sum_mistakes(step: Step) -> Iterator[Mistake]:
    """Of the sums over the steps that a parameter's gradient is."""
    nodes = step.tape.nodes
    uses: dict[str, list[Edge]] = {}
    for user, j, ref in step.edges:
        name = step.leaf.get(ref)
        edge = (nodes[user].site, j)
        if not name or nodes[user].step < 0 or edge in step.graph.crossing:
            continue
        if step.tape.network.arguments[name].time_axis is None:
            uses.setdefault(name, []).append(edge)
    keeps: dict[str, Callable[[At], bool]] = {
        "is overwritten, not accumulated: only the first step is left": lambda at: at.step == 0,
        "has only the last step": lambda at: at.step == at.steps - 1,
        "lacks the first step": lambda at: at.step > 0,
        "lacks the last step": lambda at: at.step < at.steps - 1,
    }
    groups = {"every gradient": [e for edges in uses.values() for e in edges]}
    groups |= {f"d{name}": edges for name, edges in uses.items()}
    for label, edges in groups.items():
        for says, keep in keeps.items():
            altered = {e: (lambda at, k=keep: at.base() if k(at) else None) for e in edges}
            yield Mistake(f"{label} {says}", rank=int(label != "every gradient"), edges=altered)
        several = {e for e in edges if edges.count(e) > 1}
        if label != "every gradient" and len(edges) > 1 and not several:
            for edge in edges:
                where = step.where(step.tape.at[edge[0], nodes[step.inner[0]].step])
                lacks = {e: (lambda at: None) for e in edges if e != edge}
                yield Mistake(f"{label} has only one of its uses", where, 3, edges=lacks)


def time_mistakes(step: Step) -> Iterator[Mistake]:
    """Of what a state is passed back from the next step, and of which losses count."""
    tape = step.tape
    states = {s: tape.sites[s].name or tape.sites[s].text for s in step.states}
    groups = [([s], name) for s, name in states.items()]
    groups += [(list(states), "every state")] if len(states) > 1 else []
    for which, label in groups:

        def each(f: Any, which: list[int] = which) -> Any:
            return dict.fromkeys(which, f)

        def changed(f: Any, first: bool = True) -> Any:
            """Of what comes back from step t; at the first step it is a first state's gradient."""
            return lambda r, state, t, f=f: (
                f(r.crossing(state, t), t) if t or first else r.crossing(state, t)
            )

        back = f"the error passed back through {label}"
        where = step.where(tape.at[which[0], max(0, min(1, len(tape.losses) - 1))])
        yield Mistake(f"{back} is never reset (+= for =)", where, 1, carry=each(_piled_up))
        for sentence, rank, f in _carried(back, "batch" in tape.problem.sizes, label):
            for first in (True, False):
                yield Mistake(sentence, where, rank, carry=each(changed(f, first)))
        within = _within_their_step(step, which)
        if within:
            text = f"{back} replaces that of the loss (= for +=): only the last step's counts"
            last = {e: (lambda at: at.base() if at.step == at.steps - 1 else None) for e in within}
            yield Mistake(text, where, 1, edges=last)
    yield from _first_states(step)
    if len(states) == 2:
        a, b = states
        swapped = {
            a: lambda r, _, t: r.crossing(b, t),
            b: lambda r, _, t: r.crossing(a, t),
        }
        yield Mistake("the errors of the two states change places", rank=2, carry=swapped)
    for k in range(1, 6):
        text = f"truncated: no error travels more than {k} step{'s' * (k > 1)} back"
        yield Mistake(text, rank=1, window=k)
    counts: dict[str, Callable[[int, int], float]] = {
        "only the last step's loss counts": lambda t, T: float(t == T - 1),
        "only the first step's loss counts": lambda t, T: float(t == 0),
        "the last step's loss is left out": lambda t, T: float(t < T - 1),
        "the first step's loss is left out": lambda t, T: float(t > 0),
    }
    for text, weight in counts.items():
        yield Mistake(text, rank=0, weight=weight)


def _carried(back: str, batch: bool, label: str) -> Iterator[tuple[str, int, Any]]:
    """What may be done to the error that a state is passed back from step t."""
    yield f"no error is passed back through {label}", 0, lambda g, t: 0 * g
    for k in (2, 3, 4, 5, 8, 10):
        yield f"{back} is dropped every {k} steps", 1, lambda g, t, k=k: g * (t % k != 0)
    if batch:
        mean = f"{back} is averaged over the batch"
        yield mean, 3, lambda g, t: np.broadcast_to(np.mean(g, 0), np.shape(g))
    for b in (0.1, 0.5, 1, 5, 10):
        yield f"{back} is clipped to [-{b}, {b}]", 2, lambda g, t, b=b: np.clip(g, -b, b)
    for text, f in (("has the wrong sign", -1), ("is doubled", 2), ("is halved", 0.5)):
        yield f"{back} {text}", 2, lambda g, t, f=f: g * f


def _within_their_step(step: Step, states: list[int]) -> list[Edge]:
    """What passes back to these states in their own step."""
    at = step.tape.nodes[step.inner[0]].step
    indices = [step.tape.at[state, at] for state in states]
    found = [(step.tape.nodes[u].site, j) for i in indices for u, j in step.graph.users[i]]
    return [edge for edge in dict.fromkeys(found) if edge not in step.graph.crossing]


def _first_states(step: Step) -> Iterator[Mistake]:
    """The gradient of the state after the first step, for that of the first state."""
    tape, at = step.tape, step.tape.nodes[step.inner[0]].step
    ends: dict[Edge, Callable[[At], Array | None]] = {}
    for state in step.states:
        edges = [edge for edge, its in step.graph.crossing.items() if its == state]
        if not edges or (state, at) not in tape.at:
            continue
        name = tape.sites[state].name or tape.sites[state].text

        def first(at: At, state: int = state) -> Array | None:
            index = at.reverse.graph.tape.at[state, 0]
            return at.reverse.of(index) if at.step == 0 else at.base()

        others = dict.fromkeys(edges[1:], _not_at_first)
        text = f"the gradient of {name}_1 is returned for that of the first state"
        yield Mistake(text, rank=2, edges={edges[0]: first, **others})
        ends |= {edges[0]: first}
    cut = [(tape.nodes[u].site, j) for u, j, ref in step.edges if ref in step.leaf]
    cut += _within_their_step(step, list(step.states))
    early = {**dict.fromkeys(cut, _not_at_first), **ends}
    yield Mistake("the loop back ends before the first step", rank=1, edges=early)


def _not_at_first(at: At) -> Array | None:
    return None if at.step == 0 else at.base()


def _piled_up(reverse: Reverse, state: int, step: int) -> Array:
    total: Any = reverse.crossing(state, step)
    later = reverse.carried.get((state, step + 1))
    return total if later is None or np.shape(later) != np.shape(total) else total + later
