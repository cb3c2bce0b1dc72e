"""Prove or refute the network as trained, its state not rounded, for operands of every length.

First it searches for a wrong output, which is quick (`refutation.py`). Then it computes a metric
(`metric.py`) and searches for a closed cover, with smaller and smaller sets (`cover.py`), and once
more with a metric for each history that is longer by one input; a closed cover is a proof.
docs/proof.md states what is proved, and what has to be trusted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.params import DTYPES, Params, check_params
from rnn_numpy.proof.machine import Example, run_example
from rnn_numpy.real_proof.cover import Cover, TooManySets, Uncertain, cover
from rnn_numpy.real_proof.enclosure import Network
from rnn_numpy.real_proof.histories import Histories, histories
from rnn_numpy.real_proof.metric import metric
from rnn_numpy.real_proof.refutation import wrong_inputs
from rnn_numpy.tasks.targets import Target, addition, check_fits

#: Default of the largest number of sets, of about 1 kB each.
LIMIT = 40_000
#: The radii that are tried in turn; the entries of a state are between 0 and 1.
RADII = (0.035, 0.025, 0.018, 0.013, 0.009, 0.006, 0.004, 0.0025, 0.0015, 0.001)
#: By how many inputs histories are longer than usual, in turn.
LONGER = (0, 1)


class NoMetric(NamedTuple):
    """No metric was found."""

    sets: int = 0

    def __str__(self) -> str:
        return "no metric was found: the weights are too large"


@dataclass(frozen=True)
class _Verdict:
    """What is known about the network as trained."""

    target: Target
    #: The evaluation that is covered: float64, or float32 and anything more precise.
    dtype: str


@dataclass(frozen=True)
class Proved(_Verdict):
    """Every output is right: a closed cover, and the least distance of h V from 0 in its sets."""

    status: ClassVar = "proved"
    classes: Histories
    metric: Float[np.ndarray, "classes hidden hidden"]
    cover: Cover
    margin: float


@dataclass(frozen=True)
class Refuted(_Verdict):
    """The last output after these inputs is wrong; the example has all of the result."""

    status: ClassVar = "refuted"
    inputs: Int64[np.ndarray, " steps"]
    example: Example


@dataclass(frozen=True)
class GaveUp(_Verdict):
    """Neither was found."""

    status: ClassVar = "gave up"
    reason: TooManySets | Uncertain | NoMetric


RealVerdict = Proved | Refuted | GaveUp


def prove_real(
    params: Params,
    target: Target = addition,
    dtype: str | None = None,
    *,
    limit: int = LIMIT,
    on_progress: Callable[[int], object] = lambda sets: None,
) -> RealVerdict:
    """Prove or refute that the network computes the target, for operands of every length.

    Args:
        params: the weights of a network with one input for each operand, and one output.
        target: what the network has to compute.
        dtype: the evaluation that is covered: "float64"; or "float32", which includes float64; None
            for the weights' dtype.
        limit: largest number of sets; the search gives up beyond it.
        on_progress: called with the number of sets found since the last call.

    Raises:
        TypeError, ValueError: as `check_params`; also if the weights do not fit the target, the
            dtype is another one, or the limit is below 1.
    """
    check_params(params)
    check_fits(target, params)
    name = params.W.dtype.name if dtype is None else dtype
    if name not in {kind.name for kind in DTYPES}:
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}")
    if limit < 1:
        raise ValueError(f"limit must be at least 1 set, got {limit}")
    evaluated = Params(*(array.astype(name) for array in params))
    wrong = wrong_inputs(evaluated, target)
    if wrong is not None:
        return Refuted(target, name, wrong, run_example(evaluated, target, wrong))
    L, gave_up = None, GaveUp(target, name, NoMetric())
    for more in LONGER:
        classes = histories(target, more)
        try:
            L = metric(params, target, classes, L)
        except np.linalg.LinAlgError:
            break
        network = Network(params, name, target, classes, L)
        for radius in RADII:
            found = cover(network, radius, limit, on_progress)
            if isinstance(found, Cover):
                margin = float(network.margin(found.centre, found.radius, found.q)[1:].min())
                return Proved(target, name, classes, L, found, margin)
            gave_up = GaveUp(target, name, found)
            if isinstance(found, TooManySets):
                break
    return gave_up
