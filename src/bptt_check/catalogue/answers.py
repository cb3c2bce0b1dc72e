"""Mistakes in the finished gradients: scaled, clipped, transposed, swapped. They need no step."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from bptt_check.catalogue.other_gradients import Change
from bptt_check.networks.network import Array
from bptt_check.tracing.changes import norm
from bptt_check.tracing.mistakes import Mistake, Part
from bptt_check.tracing.reverse import Gradients
from bptt_check.tracing.tape import Tape, refs


def answer_mistakes(tape: Tape) -> Iterator[Mistake]:
    """The mistakes in the finished gradients of a tape."""
    names, weights = tuple(tape.network.differentiated), tuple(_weights(tape))
    every, sizes = _of(names, "every gradient"), tape.problem.sizes
    for change in _scalings(sizes, 0):
        yield _answer(every, *change)
    for count in (2, 3):  # a mean over several axes that is not taken
        for axes in combinations(sorted(sizes), count):
            yield _answer(every, "multiplied", axes, count)
    if weights != names:
        of_weights = _of(weights, "every weight's gradient")
        clips = [("clipped", (size,), 2) for size in (1, 5, 10)]
        for change in (*_scalings(sizes, 1), ("starts from 1", (), 2), *clips):
            yield _answer(of_weights, *change)
    yield _answer(every, "rounded", (), 0)
    for size in (1, 5, 10):
        yield _answer(every, "clipped", (size,), 1)
        yield _answer(every, "norm clipped", (size,), 1)
    shapes = {n: tape.problem.values[n].shape for n in names}
    for name in names:
        axis = tape.network.arguments[name].time_axis
        for change in (*_scalings(sizes, 1), *_of_one(shapes[name], axis)):
            yield _answer(_of((name,), f"d{name}"), *change)
        for other in names:
            if other != name and shapes[other] == shapes[name]:
                yield _answer(_of((name,), f"d{name}"), "another's", (other,), 2)
                if name < other:
                    yield _answer(_of((name, other), f"d{name} and d{other}"), "swapped", (), 1)


def _of(names: tuple[str, ...], label: str) -> Part:
    return Part("answer", label, names=names)


def _answer(part: Part, change: str, by: tuple[Any, ...], rank: int) -> Mistake:
    return Mistake(part, change, by, rank=rank)


def _scalings(sizes: dict[str, int], rank: int) -> Iterator[Change]:
    yield "cut", (), rank
    for factor in (-1.0, 2.0, 0.5):
        yield "factor", (factor,), rank
    for axes in (("time",), ("batch",), ("time", "batch")):
        if sizes.keys() >= set(axes):
            yield "divided", axes, rank + len(axes) - 1
    for size in sorted(sizes.keys() - {"time", "batch"}):
        yield "divided", (size,), rank + 1
    for size in sorted(sizes):
        yield "multiplied", (size,), rank + 1
    yield "mean squared", (), rank + 1


def _of_one(shape: tuple[int, ...], time_axis: int | None) -> Iterator[Change]:
    for size in (1, 5, 10):
        yield "clipped", (size,), 3
    if time_axis is not None:
        yield "summed over later steps", (time_axis,), 2
        for by in (1, -1):
            yield "of another step", (time_axis, by), 2
    yield "itself", (), 3
    yield "starts from 1", (), 3
    if len(shape) > 1 and shape[-1] == shape[-2]:
        yield "transposed", (), 1
    if len(shape) > 1:
        yield "reshaped", (), 3
    if shape:
        yield "rows reversed", (), 3


def clipped(answers: Sequence[Gradients], rights: Sequence[Gradients], tape: Tape) -> list[Mistake]:
    """The clips, to any size, that the sizes of the answers suggest.

    Args:
        answers, rights: a candidate's gradients at each problem, and the right ones.
    """
    found = []
    groups = {"every gradient": [*answers[0]], "every weight's gradient": _weights(tape)}
    groups |= {f"d{name}": [name] for name in answers[0]}
    for label, names in groups.items():
        pairs = [
            ([got[n] for n in names if n in got], [right[n] for n in names if n in got])
            for got, right in zip(answers, rights, strict=True)
        ]
        for measure, change in ((_largest, "clipped"), (norm, "norm clipped")):
            sizes = [(measure(got), measure(right)) for got, right in pairs]
            size = max(got for got, _ in sizes)
            if size > 0 and any(size * (1 + 1e-9) < right for _, right in sizes):
                part = _of(tuple(names), f"right, but clipped: {label}")
                found.append(_answer(part, change, (size,), len(names) == 1))
    return found


def _largest(arrays: Iterable[Array]) -> float:
    return max((float(abs(a).max(initial=0)) for a in arrays), default=0.0)


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
