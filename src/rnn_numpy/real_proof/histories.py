"""Classes of histories: what the target was doing before the last few inputs, and these inputs.

A class fixes the target's state and the bit that is right, and nearly fixes where the network's
state lies: the sets of a proof are kept, and measured, class by class.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from rnn_numpy.tasks.targets import Target

#: As many inputs are remembered as keep the number of classes at or below this.
MOST_CLASSES = 200


class Histories(NamedTuple):
    """The classes; class 0 is the beginning, as if zeros had gone before it."""

    #: The class that follows; the target's state and the bit that is right in a class.
    next: Int64[np.ndarray, "classes inputs"]
    task: Int64[np.ndarray, " classes"]
    said: Int64[np.ndarray, " classes"]


def histories(target: Target) -> Histories:
    """The classes of a target: its state before the last inputs, and these inputs."""
    states, inputs = target.next.shape
    depth = 1
    while states * inputs ** (depth + 1) <= MOST_CLASSES:
        depth += 1
    before, recent = np.divmod(np.arange(states * inputs**depth), inputs**depth)
    task, said, after_first = before, np.zeros_like(before), before
    for place in reversed(range(depth)):
        number = recent // inputs**place % inputs
        said, task = target.output[task, number].astype(np.int64), target.next[task, number]
        if place == depth - 1:
            after_first = task
    rest = recent % inputs ** (depth - 1) * inputs
    following = (after_first * inputs**depth + rest)[:, np.newaxis] + np.arange(inputs)
    return Histories(following, task, said)


def draw_inputs(
    rng: np.random.Generator, inputs: int, steps: int, count: int
) -> Int64[np.ndarray, "steps count"]:
    """Random inputs that find a network's weak places: each sequence has its own taste.

    The first half end in a short word, repeated. Of the others, some keep their last input nearly
    always, some draw evenly, some have a favourite.
    """
    taste = np.cumsum(rng.dirichlet(np.full(inputs, 0.4), size=count), axis=1)
    keeps = rng.choice([0, 0.5, 0.9, 0.98], size=count)
    period = rng.integers(1, 5, size=count)
    drawn = np.empty((steps, count), np.int64)
    for t in range(steps):
        fresh = (rng.random(count)[:, np.newaxis] > taste[:, :-1]).sum(axis=1)
        drawn[t] = np.where((rng.random(count) < keeps) & (t > 0), drawn[t - 1], fresh)
        if t >= 8:
            half = np.arange(count // 2)
            drawn[t, half] = drawn[t - period[half], half]
    return drawn
