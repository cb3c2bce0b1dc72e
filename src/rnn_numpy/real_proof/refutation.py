"""Search for inputs that the network as trained gets wrong, and shorten them.

Three incomplete searches: counterexamples of the network with a rounded state, which are often
wrong without rounding, too; short prefixes followed by a long run of one input, which a carry has
to survive; and random inputs of `draw_inputs`.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Int64

from rnn_numpy.elman_network.model import forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import Refuted
from rnn_numpy.real_proof.histories import draw_inputs
from rnn_numpy.tasks.targets import Target

#: Bits of the rounded states that are explored; most states visited for each.
STATE_BITS, STATES = (4, 5, 6, 7), 30_000
#: Most prefixes of runs; length of a run; number of random sequences; their length.
RUNS, RUN, SEQUENCES, STEPS = 256, 100, 1_000, 100


def wrong_inputs(params: Params, target: Target) -> Int64[np.ndarray, " found"] | None:
    """The shortest inputs found whose last output is wrong; None if none were found."""
    found = [wrong for wrong in _all_wrong(params, target) if wrong is not None]
    return _shortened(params, target, min(found, key=len)) if found else None


def _all_wrong(params: Params, target: Target) -> Iterator[Int64[np.ndarray, " steps"] | None]:
    """What each search finds, or None."""
    inputs = 2**target.operands
    for bits in STATE_BITS:
        verdict = explore(params, bits, target, limit=STATES)
        if isinstance(verdict, Refuted):
            yield _first_wrong(params, target, verdict.inputs[:, np.newaxis])
    length = int(np.log(RUNS) / np.log(inputs))
    prefixes = np.array(list(product(range(inputs), repeat=length)), np.int64).T
    runs = np.concatenate([prefixes, np.repeat(prefixes[-1:], RUN, axis=0)])
    yield _first_wrong(params, target, runs)
    yield from (_first_wrong_after(params, target, runs, last) for last in range(inputs))
    drawn = draw_inputs(np.random.default_rng(0), inputs, STEPS, SEQUENCES)
    yield _first_wrong(params, target, drawn)


def _run(
    params: Params, target: Target, inputs: Int64[np.ndarray, "steps count"]
) -> tuple[Any, Any, Any]:
    """After each step: whether the output is wrong, the network's state, the target's state."""
    x = target.bits(inputs).astype(params.W.dtype)
    outputs, trace = forward(params, x)
    tasks = target.states(inputs)
    wrong = (outputs[..., 0] > 0.5) != (target.output[tasks[:-1], inputs] > 0)
    return wrong, trace.states[1:], tasks[1:]


def _first_wrong(
    params: Params, target: Target, inputs: Int64[np.ndarray, "steps count"]
) -> Int64[np.ndarray, " found"] | None:
    """The shortest prefix of these sequences whose last output is wrong."""
    wrong, _, _ = _run(params, target, inputs)
    if not wrong.any():
        return None
    step = int(wrong.any(axis=1).argmax())
    return inputs[: step + 1, int(wrong[step].argmax())]


def _first_wrong_after(
    params: Params, target: Target, inputs: Int64[np.ndarray, "steps count"], last: int
) -> Int64[np.ndarray, " found"] | None:
    """The shortest prefix of these sequences that gives a wrong output with `last` appended."""
    _, states, tasks = _run(params, target, inputs)
    x = target.bits(np.full((1, tasks.size), last)).astype(params.W.dtype)
    outputs, _ = forward(params, x, np.ascontiguousarray(states.reshape(tasks.size, -1)))
    wrong = (outputs[0, :, 0] > 0.5) != (target.output[tasks.ravel(), last] > 0)
    if not wrong.any():
        return None
    step, which = divmod(int(wrong.argmax()), tasks.shape[1])
    return np.append(inputs[: step + 1, which], last)


def _shortened(
    params: Params, target: Target, inputs: Int64[np.ndarray, " steps"]
) -> Int64[np.ndarray, " fewer"]:
    """Remove steps one at a time while some output stays wrong."""
    while len(inputs) > 1:
        without = ~np.eye(len(inputs), dtype=bool)
        shorter = np.stack([inputs[keep] for keep in without], axis=1)
        wrong = _first_wrong(params, target, shorter)
        if wrong is None:
            break
        inputs = wrong
    return inputs
