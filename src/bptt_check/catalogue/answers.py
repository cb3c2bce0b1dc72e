"""Mistakes in the finished gradients: scaled, clipped, transposed, swapped. They need no step."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Gradients, Mistake
from bptt_check.tracing.tape import Tape, refs


def answer_mistakes(tape: Tape) -> Iterator[Mistake]:
    """The mistakes in the finished gradients of a tape."""
    names, sizes = tape.network.differentiated, tape.problem.sizes
    shapes = {n: tape.problem.values[n].shape for n in names}
    yield from _scalings("every gradient", names, 0, sizes)
    weights = _weights(tape)
    if weights != names:
        yield from _scalings("every weight's gradient", weights, 1, sizes)
        yield _final("every weight's gradient starts from 1", 2, _all(weights, lambda g, _: g + 1))
        for size in (1, 5, 10):
            clip = _all(weights, lambda g, _, s=size: g.clip(-s, s))
            yield _final(f"every weight's gradient is clipped to [-{size}, {size}]", 2, clip)
    yield _final("every gradient is rounded through float32", 0, _all(names, _narrowed))
    for size in (1, 5, 10):
        clip = _all(names, lambda g, _, s=size: g.clip(-s, s))
        yield _final(f"every gradient is clipped to [-{size}, {size}]", 1, clip)
        yield _final(f"every gradient is clipped to norm {size}", 1, _norm_clip(size, names))
    for name in names:
        yield from _scalings(f"d{name}", [name], 1, sizes)
        for size in (1, 5, 10):
            clip = _all([name], lambda g, _, s=size: g.clip(-s, s))
            yield _final(f"d{name} is clipped to [-{size}, {size}]", 3, clip)
        axis = tape.network.arguments[name].time_axis
        if axis is not None:
            summed = _all([name], lambda g, _, a=axis: np.flip(np.flip(g, a).cumsum(a), a))
            yield _final(f"d{name} at a step is the sum over it and all later steps", 2, summed)
            for by, text in ((1, "before"), (-1, "after")):
                moved = _all([name], lambda g, _, a=axis, by=by: np.roll(g, by, a))
                yield _final(f"d{name} at a step is that of the step {text}, wrapping", 2, moved)
        yield _final(f"d{name} is {name} itself", 3, _returned(name))
        yield _final(f"d{name} starts from 1, not 0", 3, _all([name], lambda g, _: g + 1))
        shape = shapes[name]
        if len(shape) > 1 and shape[-1] == shape[-2]:
            yield _final(f"d{name} is transposed", 1, _all([name], lambda g, _: g.swapaxes(-1, -2)))
        if len(shape) > 1:
            reshaped = _all([name], lambda g, _: g.swapaxes(-1, -2).reshape(g.shape))
            yield _final(f"d{name} is transposed and reshaped", 3, reshaped)
        if shape:
            yield _final(f"d{name} has its rows reversed", 3, _all([name], lambda g, _: g[::-1]))
        for other in names:
            if other != name and shapes[other] == shape:
                yield _final(f"d{name} is d{other}", 2, _copied(name, other))
                if name < other:
                    yield _final(f"d{name} and d{other} are swapped", 1, _swapped(name, other))


def clipped(answers: Sequence[Gradients], rights: Sequence[Gradients], tape: Tape) -> list[Mistake]:
    """The clips, to any size, that the sizes of the answers suggest.

    Args:
        answers, rights: a candidate's gradients at each problem, and the right ones.
    """
    found, weights = [], _weights(tape)
    groups = {"every gradient": [*answers[0]], "every weight's gradient": weights}
    groups |= {f"d{name}": [name] for name in answers[0]}
    for label, names in groups.items():
        pairs = [
            ([got[n] for n in names if n in got], [right[n] for n in names if n in got])
            for got, right in zip(answers, rights, strict=True)
        ]
        for measure, words in ((_largest, "[-{0:g}, {0:g}]"), (_norm, "norm {0:g}")):
            sizes = [(measure(got), measure(right)) for got, right in pairs]
            size = max(got for got, _ in sizes)
            if size <= 0 or not any(size * (1 + 1e-9) < right for _, right in sizes):
                continue
            text = f"right, but clipped: {label} is clipped to {words.format(size)}"
            if measure is _largest:
                clip = _all(names, lambda g, _, s=size: g.clip(-s, s))
            else:
                clip = _norm_clip(size, names)
            found.append(_final(text, len(names) == 1, clip))
    return found


def _largest(arrays: Iterable[Array]) -> float:
    return max((float(abs(a).max(initial=0)) for a in arrays), default=0.0)


def _norm(arrays: Iterable[Array]) -> float:
    return float(np.sqrt(sum(float((a * a).sum()) for a in arrays)))


def _weights(tape: Tape) -> list[str]:
    """The arguments that are neither inputs nor initial states."""
    network, losses = tape.network, len(tape.losses)
    steps: dict[int, set[int]] = {}
    for node in tape.nodes:
        for _, ref in refs(node):
            steps.setdefault(ref, set()).add(node.step)
    found = []
    for name in network.differentiated:
        initial = steps.get(tape.arguments[name], set()) == {0} and losses > 1
        if network.arguments[name].time_axis is None and not initial:
            found.append(name)
    return found


#: What every gradient may be multiplied by, where the sizes have these names.
_SCALES: dict[str, tuple[set[str], Callable[[Mapping[str, int]], float]]] = {
    "has the wrong sign": (set(), lambda _: -1.0),
    "is doubled": (set(), lambda _: 2.0),
    "is halved": (set(), lambda _: 0.5),
    "is divided by the number of steps T": ({"time"}, lambda sizes: 1 / sizes["time"]),
    "is divided by the batch size B": ({"batch"}, lambda sizes: 1 / sizes["batch"]),
    "is divided by T and by B": (
        {"time", "batch"},
        lambda sizes: 1 / sizes["time"] / sizes["batch"],
    ),
}


def _scalings(label: str, names: list[str], rank: int, sizes: dict[str, int]) -> Iterator[Mistake]:
    def scaled(factor: Callable[[Tape], float]) -> Callable[[Tape, Gradients], Gradients]:
        return _all(names, lambda g, tape: g * factor(tape))

    yield _final(f"{label} is zero", rank, scaled(lambda _: 0.0))
    for words, (needed, scale) in _SCALES.items():
        if needed <= sizes.keys():
            every = scale if label == "every gradient" else None
            final = scaled(_of_sizes(scale))
            yield Mistake(f"{label} {words}", rank=rank, final=final, scale=every)
    for size in sizes.keys() - {"time", "batch"}:
        yield _final(f"{label} is divided by {size}", rank + 1, scaled(_one_over(size)))
    means = scaled(lambda tape: 2 / max(1, _targets_size(tape)))
    yield _final(f"{label} is scaled as for a mean squared error (2 / N)", rank + 1, means)


def _of_sizes(scale: Callable[[Mapping[str, int]], float]) -> Callable[[Tape], float]:
    return lambda tape: scale(tape.problem.sizes)


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


def _norm_clip(size: int | float, names: Sequence[str]) -> Callable[[Tape, Gradients], Gradients]:
    def clipped(_: Tape, g: Gradients) -> Gradients:
        norm = _norm(g[n] for n in names if n in g)
        factor = min(1.0, size / norm) if norm > 0 else 1.0
        return {n: v * factor if n in names else v for n, v in g.items()}

    return clipped


def _returned(name: str) -> Callable[[Tape, Gradients], Gradients]:
    return lambda tape, g: {**g, name: np.asarray(tape.problem.values[name], g[name].dtype)}


def _copied(name: str, other: str) -> Callable[[Tape, Gradients], Gradients]:
    return lambda _, g: {**g, name: g[other]}


def _swapped(name: str, other: str) -> Callable[[Tape, Gradients], Gradients]:
    return lambda _, g: {**g, name: g[other], other: g[name]}
