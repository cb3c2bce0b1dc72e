"""Compare the candidate's loss with the network's; if they differ, check the forward passes first.

A candidate may return its loss with the gradients. It is compared within the bound of the sum of
the losses over the steps.
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
    """A sentence about the losses that the candidate returns; empty if it returns none."""
    returned = [a for a in asked if isinstance(a.answer.loss, int | float)]
    if not returned:
        return ""
    wrong = [a for a in returned if not _equals(a, 1.0)]
    if not wrong:
        return "Its own loss is right: the two forward passes agree to within rounding"
    for words, scale in _SCALES.items():
        axes = set(words.split()) & {"time", "batch"}
        applies = all(axes <= a.problem.sizes.keys() for a in returned)
        if applies and all(_equals(a, scale(a.problem.sizes)) for a in returned):
            return f"Its own loss is the network's, {words}: the two functions differ"
    ratios = [float(a.answer.loss or 0) / float(a.right.losses.sum() or 1) for a in returned]
    constant = float(np.median(ratios))
    if all(_equals(a, constant) for a in returned):
        return f"Its own loss is {constant:.6g} times the network's: the two functions differ"
    a = wrong[0]
    total = float(a.right.losses.sum())
    difference = float(a.answer.loss or 0) - total
    return (
        f"Its own loss differs at {len(wrong)} of {len(returned)} problems, so the forward passes "
        f"differ: by {difference:.2g} at {a.problem.name!r}, of {total:.6g}. Compare these first: "
        "the backward pass may be right for another network"
    )


def _equals(a: Asked, factor: float) -> bool:
    """Whether the candidate's loss is `factor` times the network's, to within rounding."""
    right: Any = a.right
    total = float(right.losses.sum())
    rounding = np.finfo(a.problem.dtype).eps * len(right.losses) * np.abs(right.losses).sum()
    bound = (2 * float(right.loss_bounds.sum()) + 2 * rounding) * max(1.0, abs(factor))
    return bool(abs(float(a.answer.loss or 0) - factor * total) <= bound)
