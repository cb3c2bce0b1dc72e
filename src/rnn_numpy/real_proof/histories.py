"""Classes of input histories: the last few inputs, and the target's state before them.

A class determines the target's state and right output, and nearly determines the network's state.
Each class of a proof has its own sets and its own metric.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from rnn_numpy.tasks.targets import Target

#: The usual histories are as long as possible with at most this many classes.
MOST_CLASSES = 200


class Histories(NamedTuple):
    """The classes; class 0 is that of h_0, as if its past inputs were zeros."""

    #: The next class; the target's state and the right output bit in each class.
    next: Int64[np.ndarray, "classes inputs"]
    task: Int64[np.ndarray, " classes"]
    said: Int64[np.ndarray, " classes"]
    #: The number of each class among those of histories that are shorter by one input.
    shorter: Int64[np.ndarray, " classes"]


def histories(target: Target, more: int = 0) -> Histories:
    """The classes of a target, of histories that are longer than usual by so many inputs."""
    states, inputs = target.next.shape
    depth = 1
    while states * inputs ** (depth + 1) <= MOST_CLASSES:
        depth += 1
    depth += more
    before, recent = np.divmod(np.arange(states * inputs**depth), inputs**depth)
    task, said, after_first = before, np.zeros_like(before), before
    for place in reversed(range(depth)):
        number = recent // inputs**place % inputs
        said, task = target.output[task, number].astype(np.int64), target.next[task, number]
        if place == depth - 1:
            after_first = task
    shorter = after_first * inputs ** (depth - 1) + recent % inputs ** (depth - 1)
    following = (shorter * inputs)[:, np.newaxis] + np.arange(inputs)
    return Histories(following, task, said, shorter)


def draw_inputs(
    rng: np.random.Generator, inputs: int, steps: int, count: int
) -> Int64[np.ndarray, "steps count"]:
    """Random sequences of inputs that are likely to show a wrong output.

    Each sequence has its own distribution of inputs and its own probability of repeating the last
    input. The first half of the sequences repeat, from step 8 on, a word of 1 to 4 inputs.
    """
    distribution = np.cumsum(rng.dirichlet(np.full(inputs, 0.4), size=count), axis=1)
    keeps = rng.choice([0, 0.5, 0.9, 0.98], size=count)
    period = rng.integers(1, 5, size=count)
    drawn = np.empty((steps, count), np.int64)
    for t in range(steps):
        fresh = (rng.random(count)[:, np.newaxis] > distribution[:, :-1]).sum(axis=1)
        drawn[t] = np.where((rng.random(count) < keeps) & (t > 0), drawn[t - 1], fresh)
        if t >= 8:
            half = np.arange(count // 2)
            drawn[t, half] = drawn[t - period[half], half]
    return drawn
