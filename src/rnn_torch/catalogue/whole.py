"""Mistakes that need no look into the step: in sums over time, in what goes on, in the answer."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.reverse import At, Edge, Gradients, Mistake, Reverse
from rnn_torch.tracing.step import Step
from rnn_torch.tracing.tape import Tape, refs


def answer_mistakes(tape: Tape) -> Iterator[Mistake]:
    """Of the finished gradients: signatures that need no cell."""
    names, sizes = tape.network.differentiated, tape.problem.sizes
    shapes = {n: tape.problem.values[n].shape for n in names}
    yield from _each("every gradient", names, 0, sizes)
    weights = _weights(tape)
    if weights != names:
        yield from _each("every weight's gradient", weights, 1, sizes)
        for size in (1, 5, 10):
            clip = _all(weights, lambda g, _, s=size: g.clip(-s, s))
            yield _final(f"every weight's gradient is clipped to [-{size}, {size}]", 2, clip)
    yield _final("every gradient is rounded through float32", 0, _all(names, _narrowed))
    for size in (1, 5, 10):
        clip = _all(names, lambda g, _, s=size: g.clip(-s, s))
        yield _final(f"every gradient is clipped to [-{size}, {size}]", 1, clip)
        yield _final(f"every gradient is clipped to norm {size}", 1, _norm_clip(size))
    for name in names:
        yield from _each(f"d{name}", [name], 1, sizes)
        for size in (1, 5, 10):
            clip = _all([name], lambda g, _, s=size: g.clip(-s, s))
            yield _final(f"d{name} is clipped to [-{size}, {size}]", 3, clip)
        axis = tape.network.arguments[name].time_axis
        if axis is not None:
            later = _all([name], lambda g, _, a=axis: np.flip(np.flip(g, a).cumsum(a), a))
            yield _final(f"d{name} at a step contains the later steps', added up", 2, later)
        shape = shapes[name]
        if len(shape) > 1 and shape[-1] == shape[-2]:
            yield _final(f"d{name} is transposed", 1, _all([name], lambda g, _: g.swapaxes(-1, -2)))
        if len(shape) > 1:
            turned = _all([name], lambda g, _: g.swapaxes(-1, -2).reshape(g.shape))
            yield _final(f"d{name} is transposed and reshaped", 3, turned)
        if shape:
            yield _final(f"d{name} with its rows reversed", 3, _all([name], lambda g, _: g[::-1]))
        for other in names:
            if other != name and shapes[other] == shape:
                yield _final(f"d{name} is d{other}", 2, _copied(name, other))
                if name < other:
                    yield _final(f"d{name} and d{other} are swapped", 1, _swapped(name, other))


def _weights(tape: Tape) -> list[str]:
    """The arguments that are neither inputs nor first states: used by every step."""
    network, losses = tape.network, len(tape.losses)
    steps: dict[int, set[int]] = {}
    for node in tape.nodes:
        for _, ref in refs(node):
            steps.setdefault(ref, set()).add(node.step)
    found = []
    for name in network.differentiated:
        once = steps.get(tape.arguments[name], set()) == {0} and losses > 1
        if network.arguments[name].time_axis is None and not once:
            found.append(name)
    return found


def _each(label: str, names: list[str], rank: int, sizes: dict[str, int]) -> Iterator[Mistake]:
    def scaled(factor: Callable[[Tape], float]) -> Callable[[Tape, Gradients], Gradients]:
        return _all(names, lambda g, tape: g * factor(tape))

    yield _final(f"{label} is zero", rank, scaled(lambda _: 0.0))
    yield _final(f"{label} has the wrong sign", rank, scaled(lambda _: -1.0))
    yield _final(f"{label} is doubled", rank, scaled(lambda _: 2.0))
    yield _final(f"{label} is halved", rank, scaled(lambda _: 0.5))
    for size in sizes:
        what = {"time": "the number of steps T", "batch": "the batch size B"}.get(size, size)
        divided = scaled(_one_over(size))
        yield _final(f"{label} is divided by {what}", rank + 1 if size == what else rank, divided)
    if {"time", "batch"} <= sizes.keys():
        both = scaled(lambda t: 1 / t.problem.sizes["time"] / t.problem.sizes["batch"])
        yield _final(f"{label} is divided by T and by B", rank, both)
    means = scaled(lambda tape: 2 / max(1, _targets_size(tape)))
    yield _final(f"{label} is that of a mean squared error (2 / N)", rank + 1, means)


def _one_over(size: str) -> Callable[[Tape], float]:
    return lambda tape: 1 / tape.problem.sizes[size]


def _targets_size(tape: Tape) -> int:
    roles = tape.network.arguments
    sizes = [v.size for n, v in tape.problem.values.items() if roles[n].role == "targets"]
    return max(sizes, default=1)


def _final(sentence: str, rank: int, change: Callable[[Tape, Gradients], Gradients]) -> Mistake:
    return Mistake(sentence, rank=rank, final=change)


def _all(names: list[str], change: Any) -> Callable[[Tape, Gradients], Gradients]:
    chosen = set(names)
    return lambda tape, g: {n: change(v, tape) if n in chosen else v for n, v in g.items()}


def _narrowed(g: Array, _: Tape) -> Array:
    return g.astype(np.float32).astype(np.float64)


def _norm_clip(size: int | float) -> Callable[[Tape, Gradients], Gradients]:
    def clipped(_: Tape, g: Gradients) -> Gradients:
        norm = np.sqrt(sum(float((v * v).sum()) for v in g.values()))
        return {n: v * min(1.0, size / norm) if norm > 0 else v for n, v in g.items()}

    return clipped


def _copied(name: str, other: str) -> Callable[[Tape, Gradients], Gradients]:
    return lambda _, g: {**g, name: g[other]}


def _swapped(name: str, other: str) -> Callable[[Tape, Gradients], Gradients]:
    return lambda _, g: {**g, name: g[other], other: g[name]}


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
    for state in step.states:
        edges = [edge for edge, its in step.graph.crossing.items() if its == state]
        if not edges or (state, at) not in tape.at:
            continue
        name = tape.sites[state].name or tape.sites[state].text

        def first(at: At, state: int = state) -> Array | None:
            index = at.reverse.graph.tape.at[state, 0]
            return at.reverse.of(index) if at.step == 0 else at.base()

        others = {e: (lambda at: None if at.step == 0 else at.base()) for e in edges[1:]}
        text = f"the gradient of {name}_1 is returned for that of the first state"
        yield Mistake(text, rank=2, edges={edges[0]: first, **others})


def _piled_up(reverse: Reverse, state: int, step: int) -> Array:
    total: Any = reverse.crossing(state, step)
    later = reverse.carried.get((state, step + 1))
    return total if later is None or np.shape(later) != np.shape(total) else total + later
