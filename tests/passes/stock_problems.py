"""The designed problems of the stock networks, and whether a backward pass is right on them."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from bptt_check.error_bound.bound import Reference, reference
from rnn_numpy import fraction
from rnn_torch.networks import Problem, designed, stock

Backward = Callable[..., Mapping[str, Any]]


@cache
def posed(name: str, dtype: str = "float64") -> list[tuple[Problem, Reference]]:
    """Each designed problem of a stock network, with its right gradients."""
    its = stock(name)
    return [(problem, reference(its, problem)) for problem in designed(its, dtype)]


def answer(backward: Backward, problem: Problem) -> dict[str, Any]:
    """The gradients that a pass returns for copies of the arguments, by their names."""
    with np.errstate(all="ignore"):
        given = backward(**{name: value.copy() for name, value in problem.values.items()})
        return {name.removeprefix("d"): np.array(value) for name, value in given.items()}


def used(got: Mapping[str, Any], right: Reference) -> float:
    """How much of what rounding allows is used, at most: above 1 it is wrong; NaN is infinite.

    Raises:
        ValueError: another gradient than those asked for, or one of another shape.
    """
    if got.keys() != right.gradients.keys():
        raise ValueError(f"gradients must be {', '.join(right.gradients)}, got {', '.join(got)}")
    worst = 0.0
    for name, expected in right.gradients.items():
        if got[name].shape != expected.shape:
            raise ValueError(f"d{name} must be {expected.shape}, got {got[name].shape}")
        part = fraction(got[name].astype("float64"), expected, right.bounds[name])
        worst = max(worst, float(np.where(np.isnan(part), np.inf, part).max(initial=0)))
    return worst


def first_wrong(name: str, backward: Backward) -> str:
    """The first designed problem on which it is wrong, in float64; empty: none.

    Raises:
        Whatever it raises; ValueError as `used`.
    """
    for problem, right in posed(name):
        if used(answer(backward, problem), right) > 1:
            return problem.name
    return ""
