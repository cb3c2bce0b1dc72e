"""Prove or refute the network as trained, its state not rounded, for operands of every length.

First it searches for a wrong output, which is quick (`refutation.py`). Then it computes a metric
(`metric.py`) and searches for a closed cover, with smaller and smaller sets (`cover.py`); a closed
cover is a proof. docs/proof.md states what is proved, and what has to be trusted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.params import DTYPES, Params, check_params
from rnn_numpy.real_proof.cover import Cover, Obstacle, cover
from rnn_numpy.real_proof.enclosure import Network
from rnn_numpy.real_proof.histories import Histories, histories
from rnn_numpy.real_proof.metric import metric
from rnn_numpy.real_proof.refutation import wrong_inputs
from rnn_numpy.tasks.targets import Target, addition, check_fits

#: Default of the largest number of sets, of about 1 kB each.
LIMIT = 40_000
#: The radii that are tried in turn; the entries of a state are between 0 and 1.
RADII = (0.035, 0.025, 0.018, 0.013, 0.009, 0.006, 0.004, 0.0025, 0.0015, 0.001)


@dataclass(frozen=True)
class RealVerdict:
    """What is known about the network as trained."""

    status: Literal["proved", "refuted", "gave up"]
    #: Why the search gave up, in words; empty otherwise.
    reason: str
    #: The evaluation that is covered: float64, or float32 and anything more precise.
    dtype: str
    target: Target
    #: Number of sets of the cover, or of the last search.
    sets: int
    #: The least distance of h V from 0 in these sets; 0 without a proof.
    margin: float
    #: Inputs whose last output is wrong, if refuted.
    counterexample: Int64[np.ndarray, " steps"] | None
    classes: Histories
    metric: Float[np.ndarray, "classes hidden hidden"] | None
    cover: Cover | None


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
    classes = histories(target)

    evaluated = Params(*(array.astype(name) for array in params))
    gave_up = RealVerdict("gave up", "", name, target, 0, 0.0, None, classes, None, None)
    wrong = wrong_inputs(evaluated, target)
    if wrong is not None:
        return replace(gave_up, status="refuted", counterexample=wrong)
    try:
        L = metric(params, target, classes)
    except np.linalg.LinAlgError:
        return replace(gave_up, reason="no metric was found: the weights are too large")
    network, reason, sets = Network(params, name, target, classes, L), "", 0
    for radius in RADII:
        found = cover(network, radius, limit, on_progress)
        sets = len(found.q) if isinstance(found, Cover) else found.sets
        if isinstance(found, Cover):
            margin = float(network.margin(found.centre, found.radius, found.q)[1:].min())
            return replace(
                gave_up, status="proved", sets=sets, margin=margin, metric=L, cover=found
            )
        reason = _in_words(found, limit)
        if found.step is None:
            break
    return replace(gave_up, reason=reason, sets=sets)


def _in_words(obstacle: Obstacle, limit: int) -> str:
    """Why no cover was found."""
    if obstacle.step is None:
        return f"more than {limit} sets"
    number, inputs, factor = obstacle.step
    *before, last = inputs.tolist()
    return (
        f"an output is not certain after inputs {' '.join(map(str, before))} and then {last}, "
        f"which lead on from set {number} of {obstacle.sets}; this step multiplies errors by at "
        f"most {factor:.2f}"
    )
