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
from rnn_numpy.training.learner import choose
from rnn_numpy.training.recipe import Recipe, Run, run, start, vanished


@dataclass(frozen=True)
class Trained:
    """One network's training: how many sums were exact after each of these steps.

    `vanished` is one that finished, does not add, and cannot learn any more.
    """

    recipe: Recipe
    status: Literal["finished", "diverged", "vanished"]
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


def counted_steps(recipe: Recipe, count_every: int) -> Iterator[int]:
    """The steps after which sums are counted: the multiples of `count_every`, and the last."""
    yield from range(count_every, recipe.iterations, count_every)
    yield recipe.iterations


def counts_until(steps: int, recipe: Recipe, count_every: int) -> int:
    """How many of `counted_steps` there are up to this one, without making them all."""
    last = recipe.iterations
    return steps // count_every + (steps == last and (last == 0 or last % count_every > 0))


class Stopped(Exception):
    """A training ended before its last step, because that was asked for; it is kept."""


class Keep(NamedTuple):
    """Where networks in training are kept, each in a folder, and every how many steps."""

    path: Path
    every: int

    def folder(self, recipe: Recipe) -> Path:
        """Where this one is."""
        return self.path / "_".join(f"{name}={value}" for name, value in asdict(recipe).items())

    def forget(self, recipe: Recipe) -> None:
        """Remove what is kept of this one: its result is in a safe place."""
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
    """Train one network by the recipe, counting its exact sums on the way.

    Args:
        count_every: every how many steps the sums are counted; they are after the last, too.
        engine: as for `rnn_numpy.training.learner.choose`.
        keep: go on from the checkpoint that is there, and write new ones.
        stop: with `keep`, asked now and then; True ends the training, which is kept.
        say: told of checkpoints that cannot be used.

    Raises:
        Stopped: by `stop`.
        CheckpointError, WeightsError: checkpoints that cannot be used or written.
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

    for step in steps:  # those that are left
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
    keep: Keep | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[Trained]:
    """Train a network for each recipe; yields them as they come, in any order.

    Args:
        count_every, engine, keep, say: as in `train`.
        threads: how many at a time; None for as many as there are cores to run on.
        stop: asked before each network is begun; True begins no more, and lets those that have
            begun end: at once with `keep`, else when they have finished.
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
