"""What a candidate returns besides gradients: its loss, its states, other quantities.

The loss is compared within the bound of the sum of the losses over the steps; if they differ, the
forward passes do. Any other array is told by its value: it is a variable of the network, or an
input.
"""

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from bptt_check.judge.asking import Array, Asked
from bptt_check.judge.comparison import fractions
from bptt_check.networks import Network
from bptt_check.networks.network import precision
from bptt_check.tracing.reverse import Graph
from bptt_check.tracing.tape import Tape, record

#: The axes by whose sizes a loss may be divided.
_MEANS = (("time",), ("batch",), ("time", "batch"))


def about_losses(asked: Sequence[Asked]) -> tuple[str, bool | None]:
    """A sentence about the losses that the candidate returns, and whether they are right.

    Empty and None if it returns none.
    """
    returned = [a for a in asked if isinstance(a.answer.loss, int | float)]
    if not returned:
        return "", None
    finite = [a for a in returned if np.isfinite(a.answer.loss or 0)]  # -log(p) is not if p is tiny
    if finite and all(_equals(a, 1.0) for a in finite):
        where = " where it is finite" * (len(finite) < len(returned))
        words = f"Its own loss is right{where}: the two forward passes agree to within rounding"
        return words, True
    return _difference(returned), False


def _difference(returned: Sequence[Asked]) -> str:
    """How losses differ from the network's.

    A constant factor is said first, of these the size of an axis.
    """
    wrong = [a for a in returned if not _equals(a, 1.0)]
    for axes in _MEANS:
        applies = all(set(axes) <= a.problem.sizes.keys() for a in returned)
        if applies and all(_equals(a, 1 / _product(a, axes)) for a in returned):
            words = " and ".join(f"by {axis}" for axis in axes)
            return f"Its own loss is the network's, divided {words}: the two functions differ"
    ratios = [float(a.answer.loss or 0) / float(a.right.losses.sum() or 1) for a in returned]
    constant = float(np.median(ratios))
    if all(_equals(a, constant) for a in returned):
        return f"Its own loss is {constant:.6g} times the network's: the two functions differ"
    a = wrong[0]
    total = float(a.right.losses.sum())
    difference = float(a.answer.loss or 0) - total
    return (
        f"The loss that it returns differs at {len(wrong)} of {len(returned)} problems: by "
        f"{difference:.2g} at {a.problem.name!r}, of {total:.6g}. Compare the forward passes "
        "first: the backward pass may be right for another network or loss"
    )


def _product(a: Asked, axes: Sequence[str]) -> float:
    return float(np.prod([a.problem.sizes[axis] for axis in axes]))


def _equals(a: Asked, factor: float) -> bool:
    """Whether the candidate's loss is `factor` times the network's, to within rounding."""
    right: Any = a.right
    total = float(right.losses.sum())
    rounding = precision(a.problem.dtype).eps * len(right.losses) * np.abs(right.losses).sum()
    bound = (2 * float(right.loss_bounds.sum()) + 2 * rounding) * max(1.0, abs(factor))
    return bool(abs(float(a.answer.loss or 0) - factor * total) <= bound)


def about_outputs(network: Network, asked: Sequence[Asked]) -> str:
    """A sentence about a layer's outputs that are wrong: from which step on, at the first problem.

    Of several problems that of the fewest steps, but one, is said.
    """
    said = []
    for name, output in network.outputs.items():
        used = [(a, fractions({name: a.answer.outputs[name]}, a.right)[name] > 1) for a in asked]
        wrong = [(a, apart) for a, apart in used if apart.any()]
        if wrong:
            a, apart = min(wrong, key=lambda each: _few_steps(each[0]))
            axis, since = network.arguments[name].time_axis, ""
            if axis is not None:
                others = tuple(i for i in range(apart.ndim) if i != axis)
                since = f" from step {int(apart.any(others).argmax()) + 1} on"
            steps = a.problem.sizes["time"]
            said.append(f"{output}{since} (of {steps}, at {a.problem.name!r})")
    return f"Your forward pass differs from the layer's: {', '.join(said)}" if said else ""


def _few_steps(a: Asked) -> tuple[bool, int]:
    steps = a.problem.sizes["time"]
    return steps == 1, steps


def about_states(network: Network, asked: Sequence[Asked]) -> str:
    """A sentence about the states that a forward pass hands over under the network's names.

    `hs`, `H` or `h_t` is `h`, at all steps. Empty if none is handed over, if the network cannot be
    traced, or if they differ at less than half of the problems.
    """
    handed = [a for a in asked if a.answer.forward and a.problem.dtype == "float64"]
    handed.sort(key=lambda a: sum(v.size for v in a.problem.values.values()))
    longer = next((a for a in handed if a.problem.sizes["time"] > 1), None)
    if longer is None:
        return ""
    try:
        template = record(network, longer.problem)
    except NotImplementedError:
        return ""
    sites = {site: template.sites[site].name for site in Graph(template).crossing.values()}
    site_of = {_stem(name): site for site, name in sites.items() if name}
    labels = {n: site_of[_stem(n)] for n in longer.answer.forward if _stem(n) in site_of}
    steps: dict[str, list[tuple[int, int, str]]] = {}
    for a in handed if labels else ():
        tape = record(network, a.problem, template)
        for label, site in labels.items():
            right = np.stack([tape.values[tape.node_at[site, t]] for t in range(len(tape.losses))])
            parts = _of_states(a.answer.forward.get(label, right), right)
            if parts:
                first = max(_first_difference(part, right) for part in parts)
                steps.setdefault(label, []).append((first, len(right), a.problem.name))
    said = [
        f"{label} from step {wrong[0][0] + 1} on (at {wrong[0][2]!r})"
        for label, found in steps.items()
        if 2 * len(wrong := [each for each in found if each[0] < each[1]]) > len(found)
    ]
    return f"Your forward pass differs from the network's: {', '.join(said)}" if said else ""


def _stem(name: str) -> str:
    return name.lower().partition("_")[0].removesuffix("s")


def _of_states(array: Array, right: Array) -> list[Array]:
    """What may be meant to be these states; nothing if another order of the axes fits, too."""
    orders = permutations(range(array.ndim))
    fitting = [o for o in orders if any(p.shape == right.shape for p in _parts(array.transpose(o)))]
    if fitting != [(*range(array.ndim),)]:
        return []
    return [p for p in _parts(array) if p.shape == right.shape and np.isfinite(p).all()]


def _first_difference(own: Array, right: Array) -> int:
    """The first step at which they differ by more than rounding; their number if there is none."""
    largest = np.maximum(np.abs(right).max(initial=0), 1e-300)
    apart = (np.abs(own - right) > 1e-7 * largest).reshape(len(own), -1).any(axis=1)
    return int(apart.argmax()) if apart.any() else len(own)


def meanings(network: Network, asked: Sequence[Asked]) -> dict[str, str]:
    """In words, what each array of `Answer.others` is, if its value at every problem shows it."""
    possible: dict[str, set[str]] = {}
    shown_at: set[str] = set()  # the labels with an array that is not zero
    template: Tape | None = None
    for a in asked:
        quantities = {f"the input {name}": array for name, array in a.problem.values.items()}
        try:
            tape = record(network, a.problem, template)
        except NotImplementedError:
            pass  # inputs alone
        else:
            template = template or tape
            quantities |= _variables(tape)
        unit = precision(a.problem.dtype).eps ** 0.5
        for label, array in a.answer.others.items():
            fits = {words for words, value in quantities.items() if _is(array, value, unit)}
            possible[label] = possible.get(label, fits) & fits
            shown_at |= {label} if np.any(array) else set()
    every = [n for n in possible if all(n in a.answer.others for a in asked)]
    return {n: min(possible[n], key=len) for n in every if possible[n] and n in shown_at}


def _variables(tape: Tape) -> dict[str, Array]:
    """The network's variables after the last step, and at all steps."""
    found, steps = {}, len(tape.losses)
    for index, site in enumerate(tape.sites):
        nodes = [tape.node_at.get((index, step)) for step in range(steps)]
        values = [tape.values[node] for node in nodes if node is not None]
        if site.name and len(values) == steps:
            found[f"{site.name} after the last step"] = values[-1]
            found[f"{site.name} of all steps"] = np.stack(values)
    return found


def _is(array: Array, value: Array, unit: float) -> bool:
    """Whether an array is this value, perhaps with one more step, which is not compared."""
    return any(
        part.shape == value.shape
        and bool((np.abs(part - value) <= unit * np.abs(value).max(initial=0)).all())
        for part in _parts(array)
    )


def _parts(array: Array) -> Iterator[Array]:
    yield array
    if array.ndim:
        yield from (array[1:], array[:-1])
