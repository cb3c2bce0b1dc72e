"""Many independent networks, trained side by side: on every core, a network a thread.

The kernels of `online.py` let other threads run, so the cores are used although this is Python.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from jaxtyping import Float

from rnn_numpy import native
from rnn_numpy.addition import MOST_BITS_EXHAUSTIVE, Count, count_exact, draw_pairs
from rnn_numpy.model import forward
from rnn_numpy.online import count_exact_compiled, sgd
from rnn_numpy.params import Params
from rnn_numpy.recipe import Diverged, Recipe, start


@dataclass(frozen=True)
class Trained:
    """One network's training: how many sums were exact after each of these steps."""

    recipe: Recipe
    status: Literal["finished", "diverged"]
    steps: list[int]
    exact: list[int]
    tried: int

    @property
    def exact_from(self) -> int | None:
        """The first counted step from which on every sum tried was exact, if there is one."""
        first = None
        for step, exact in zip(self.steps, self.exact, strict=True):
            if exact < self.tried:
                first = None
            elif first is None:
                first = step
        return None if self.status == "diverged" else first


def counted_steps(recipe: Recipe, count_every: int) -> list[int]:
    """The steps after which sums are counted: the multiples of `count_every`, and the last."""
    steps = list(range(count_every, recipe.iterations + 1, count_every))
    if not steps or steps[-1] != recipe.iterations:
        steps.append(recipe.iterations)
    return steps


def count(params: Params, bits: int) -> Count:
    """How many sums a network with these weights gets right, by the fastest way there is."""
    if bits <= MOST_BITS_EXHAUSTIVE and native.available():
        return count_exact_compiled(params, bits)

    def advance(
        h: Float[np.ndarray, "batch hidden"], x: Float[np.ndarray, "1 batch 2"]
    ) -> tuple[Float[np.ndarray, "1 batch 1"], Float[np.ndarray, "batch hidden"]]:
        outputs, trace = forward(params, x, h)
        return outputs, trace.states[1]

    return count_exact(advance, len(params.W), bits, params.W.dtype)


def train(recipe: Recipe, count_every: int = 1000, engine: str | None = None) -> Trained:
    """Train one network by the recipe, counting its exact sums on the way.

    Args:
        count_every: every how many steps the sums are counted; they are after the last, too.
        engine: as in `online.sgd`.
    """
    params, rng = start(recipe)
    network = sgd(params, recipe.bits, recipe.learning_rate, engine, recipe.batch_size)
    result = Trained(recipe, "finished", [], [], 0)
    before, tried = 0, 0
    for step in counted_steps(recipe, count_every):
        for first in range(before, step, network.stride):
            steps = min(network.stride, step - first)
            pairs = draw_pairs(rng, recipe.bits, steps * recipe.batch_size)
            try:
                network.descend(pairs)
            except Diverged:
                return Trained(recipe, "diverged", result.steps, result.exact, tried)
        exact, tried, _ = count(params, recipe.bits)
        result.steps.append(step)
        result.exact.append(exact)
        before = step
    return Trained(recipe, "finished", result.steps, result.exact, tried)


def cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def train_many(
    recipes: Iterable[Recipe],
    count_every: int = 1000,
    engine: str | None = None,
    *,
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Trained]:
    """Train a network for each recipe; yields them as they come, in any order.

    Args:
        count_every, engine: as in `train`.
        threads: how many at a time; None for as many as there are cores to run on.
        stop: asked before each network is begun; True lets the ones begun end, and begins no more.
    """
    workers = threads or cores()
    waiting = iter(recipes)
    with ThreadPoolExecutor(workers) as pool:
        running: set[Future[Trained]] = set()
        while True:
            if not stop():
                for recipe in islice(waiting, 2 * workers - len(running)):
                    running.add(pool.submit(train, recipe, count_every, engine))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
