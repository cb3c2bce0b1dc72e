"""Train many independent networks in parallel: one thread for each network, on every core.

The kernels of `sgd.py` release the GIL, so the threads run at the same time.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from rnn_numpy.storage.checkpoint_folder import CheckpointError, Folder
from rnn_numpy.tasks.exact_sums import count
from rnn_numpy.training.checkpoints import Checkpoint, newest_checkpoint, write_checkpoint
from rnn_numpy.training.recipe import Recipe, Run, run, start, vanished
from rnn_numpy.training.sgd import choose


@dataclass(frozen=True)
class Trained:
    """The result of training one network: the number of exact sums after each of these steps.

    `vanished`: it finished, does not add, and cannot learn any more.
    """

    recipe: Recipe
    status: Literal["finished", "diverged", "vanished"]
    steps: list[int]
    exact: list[int]
    tried: int


def counted_steps(recipe: Recipe, count_every: int) -> Iterator[int]:
    """The steps after which sums are counted: the multiples of `count_every`, and the last."""
    yield from range(count_every, recipe.iterations, count_every)
    yield recipe.iterations


def counts_until(steps: int, recipe: Recipe, count_every: int) -> int:
    """The number of `counted_steps` up to this step."""
    last = recipe.iterations
    return steps // count_every + (steps == last and (last == 0 or last % count_every > 0))


class Stopped(Exception):
    """A training was stopped before its last step; its checkpoint is written."""


class Keep(NamedTuple):
    """The folder for checkpoints of networks in training, and the steps between checkpoints."""

    path: Path
    every: int

    def folder(self, recipe: Recipe) -> Path:
        """The checkpoint folder of this network."""
        return self.path / "_".join(f"{name}={value}" for name, value in asdict(recipe).items())

    def forget(self, recipe: Recipe) -> None:
        """Remove the checkpoints of this network; call it when its result is written."""
        if self.folder(recipe).exists():
            Folder(self.folder(recipe)).remove()


def train(
    recipe: Recipe,
    count_every: int = 1000,
    engine: str | None = None,
    *,
    keep: Keep | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], object] = lambda line: None,
) -> Trained:
    """Train one network by the recipe, and count its exact sums during the training.

    Args:
        count_every: steps between two counts; sums are also counted after the last step.
        engine: as for `rnn_numpy.training.sgd.choose`.
        keep: resume from an existing checkpoint, and write new ones.
        stop: with `keep`, called between steps; True ends the training after a checkpoint.
        say: called with a line about each checkpoint that cannot be used.

    Raises:
        Stopped: `stop` returned True.
        CheckpointError, WeightsError: a checkpoint cannot be used or written.
    """
    params, rng = start(recipe)
    taken = Run(recipe)
    counts: list[tuple[int, int, int]] = []
    chosen = choose(engine, recipe.hidden)
    learner = chosen.learner(params, recipe)
    folder = keep and Folder(keep.folder(recipe))
    steps = counted_steps(recipe, count_every)
    if folder and (found := newest_checkpoint(folder, recipe, chosen.name, say)):
        taken, counts = found.run, found.counts
        if [step for step, _, _ in counts] != list(islice(steps, len(counts))):
            raise CheckpointError(f"{folder.path} holds a run counted after other steps")
        rng.set_state(found.generator)
        learner = chosen.learner(found.params, recipe)

    for step in steps:  # the remaining steps
        for _ in run(taken, learner, rng, until=step, pause_every=keep and keep.every):
            if not (keep and folder):
                continue
            stopped = taken.steps < recipe.iterations and stop()
            if stopped or taken.steps % keep.every == 0:
                generator = rng.get_state(legacy=False)
                checkpoint = Checkpoint(learner.params(), generator, taken, chosen.name, counts)
                write_checkpoint(folder, checkpoint)
            if stopped:
                raise Stopped
        if taken.status == "diverged":
            break
        exact, tried, _ = count(learner.params(), recipe.bits)
        counts.append((step, exact, tried))
    if folder:
        folder.close()
    if taken.status == "finished" and counts[-1][1] < counts[-1][2] and vanished(recipe, learner):
        taken.status = "vanished"
    assert taken.status != "interrupted"
    return Trained(
        recipe,
        taken.status,
        [step for step, _, _ in counts],
        [exact for _, exact, _ in counts],
        counts[-1][2] if counts else 0,
    )


def cores() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def train_many(
    recipes: Iterable[Recipe],
    count_every: int = 1000,
    engine: str | None = None,
    *,
    threads: int | None = None,
    keep: Keep | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Trained]:
    """Train a network for each recipe; yields each result when its training ends, in any order.

    Args:
        count_every, engine, keep, say: as in `train`.
        threads: number of networks at a time; None for the number of cores.
        stop: called before each network; True starts no more. Networks in training end
            immediately with `keep`, else when they have finished.
    """
    workers = threads or cores()
    waiting = iter(recipes)
    with ThreadPoolExecutor(workers) as pool:
        running: set[Future[Trained]] = set()
        begin = partial(train, keep=keep, stop=stop, say=say)
        while True:
            if not stop():
                for recipe in islice(waiting, 2 * workers - len(running)):
                    running.add(pool.submit(begin, recipe, count_every, engine))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                with suppress(Stopped):
                    yield future.result()
