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

_SIZES = (1, 5, 10)  # to which gradients are clipped


def answer_mistakes(tape: Tape) -> Iterator[Mistake]:
    """The mistakes in the finished gradients of a tape."""
    names, weights = tuple(tape.network.differentiated), tuple(_weights(tape))
    sizes = tape.problem.sizes
    changes = [*_scalings(sizes, 0), ("rounded", (), 0)]
    for count in (2, 3):  # a mean over several axes that is not taken
        changes += [("multiplied", axes, count) for axes in combinations(sorted(sizes), count)]
    changes += [(change, (size,), 1) for change in ("clipped", "norm clipped") for size in _SIZES]
    yield from (_answer("every gradient", names, *change) for change in changes)
    if weights != names:
        clips = [("clipped", (size,), 2) for size in _SIZES]
        for change in (*_scalings(sizes, 1), ("starts from 1", (), 2), *clips):
            yield _answer("every weight's gradient", weights, *change)
    shapes = {n: tape.problem.values[n].shape for n in names}
    for name in names:
        axis = tape.network.arguments[name].time_axis
        for change in (*_scalings(sizes, 1), *_of_one(shapes[name], axis)):
            yield _answer(f"d{name}", (name,), *change)
        for other in names:
            if other != name and shapes[other] == shapes[name]:
                yield _answer(f"d{name}", (name,), "another's", (other,), 2)
                if name < other:
                    yield _answer(f"d{name} and d{other}", (name, other), "swapped", (), 1)


def _answer(
    label: str, names: tuple[str, ...], change: str, by: tuple[Any, ...], rank: int
) -> Mistake:
    return Mistake(Part("answer", label, names=names), change, by, rank=rank)


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
    yield from (("clipped", (size,), 3) for size in _SIZES)
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
        its = [name for name in names if name in answers[0]]
        for measure, change in ((_largest, "clipped"), (norm, "norm clipped")):
            got, right = ([measure(g[n] for n in its) for g in of] for of in (answers, rights))
            size = max(got)
            if size > 0 and any(size * (1 + 1e-9) < each for each in right):
                words = f"right, but clipped: {label}"
                found.append(_answer(words, tuple(names), change, (size,), len(names) == 1))
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
