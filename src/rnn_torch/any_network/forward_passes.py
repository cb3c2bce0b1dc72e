"""Whether the candidate computes the network's loss: if not, its backward pass is not the question.

A candidate may return its loss beside the gradients. It is compared first: within the bound of the
sum of the losses over the steps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_torch.checker.subject import Asked

_SCALES: dict[str, Callable[[Mapping[str, int]], float]] = {
    "divided by time": lambda sizes: 1 / sizes["time"],
    "divided by batch": lambda sizes: 1 / sizes["batch"],
    "divided by time and by batch": lambda sizes: 1 / sizes["time"] / sizes["batch"],
}


def about_losses(asked: Sequence[Asked]) -> str:
    """A sentence about the losses that it returned; nothing if it returned none."""
    told = [a for a in asked if isinstance(a.answer.loss, int | float)]
    if not told:
        return ""
    off = [a for a in told if not _is(a, 1.0)]
    if not off:
        return "Its own loss is right: the two forward passes agree to within rounding"
    for words, scale in _SCALES.items():
        needed = set(words.split()) & {"time", "batch"}
        fits = all(needed <= a.problem.sizes.keys() for a in told)
        if fits and all(_is(a, scale(a.problem.sizes)) for a in told):
            return f"Its own loss is the network's, {words}: the two are not the same function"
    ratios = np.array([float(a.answer.loss or 0) / float(a.right.losses.sum() or 1) for a in told])
    constant = float(np.median(ratios))
    if all(_is(a, constant) for a in told):
        return f"Its own loss is {constant:.6g} times the network's: they are not the same function"
    a = off[0]
    return (
        f"Its own loss is another at {len(off)} of {len(told)} problems, so the forward passes "
        f"differ: {a.answer.loss:.6g} instead of {float(a.right.losses.sum()):.6g} at "
        f"{a.problem.name!r}. Compare these first: the backward pass may be right for another "
        "network"
    )


def _is(a: Asked, factor: float) -> bool:
    right: Any = a.right
    total = float(right.losses.sum())
    rounding = np.finfo(a.problem.dtype).eps * len(right.losses) * np.abs(right.losses).sum()
    allowed = (2 * float(right.loss_bounds.sum()) + 2 * rounding) * max(1.0, abs(factor))
    return bool(abs(float(a.answer.loss or 0) - factor * total) <= allowed)
