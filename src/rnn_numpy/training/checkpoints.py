"""Checkpoints of a training run: weights, state of the generator, recipe, step and log.

`Keeper` writes them for `train`; a sweep writes its own (`many_networks.train`).
"""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.storage.atomic_files import WeightsError
from rnn_numpy.storage.checkpoint_folder import (
    Folder,
    generator_of,
    generator_parts,
    pack,
    understanding,
    unpack,
)
from rnn_numpy.training.processes import Processes
from rnn_numpy.training.recipe import Learner, Recipe, Record, Run

FORMAT = "rnn-bptt-reference checkpoint 2"


class Checkpoint(NamedTuple):
    """A training run between two steps.

    `counts`, of a sweep: for each counted step, the step, the exact sums and the sums tried.
    """

    params: Params
    generator: dict[str, Any]
    run: Run
    engine: str
    counts: list[tuple[int, int, int]] = []  # noqa: RUF012 (never changed)


class Keeper:
    """Writes the checkpoints of a run, in the first process; without a folder it does nothing.

    Args:
        path: the folder; None for no checkpoints.
        resume: continue from the newest checkpoint instead of refusing an existing run.
        say: called with a line about each checkpoint that cannot be read or written.

    Raises:
        ValueError: the folder cannot be used, or contains another run.
    """

    def __init__(
        self,
        path: str | None,
        recipe: Recipe,
        engine: str,
        ranks: Processes,
        say: Callable[[str], object],
        *,
        resume: bool,
    ) -> None:
        #: The checkpoint to resume from, if any.
        self.found: Checkpoint | None = None
        #: Why the last checkpoint could not be written; empty if it was written.
        self.failure = ""
        self._last_step = -1  # the step of the last one
        self._folder: Folder | None = None
        self._engine, self._say = engine, say
        if path is None:
            return
        with ranks.failing_together():
            if ranks.leads():
                self._open(path, resume or ranks.restarted, recipe)
        self.found = ranks.gather(self.found)[0]

    def _open(self, path: str, resume: bool, recipe: Recipe) -> None:
        self._folder = Folder(path)
        try:
            if resume:
                self.found = newest_checkpoint(self._folder, recipe, self._engine, self._say)
            elif self._folder.files():
                raise ValueError(
                    f"{path} contains a run: pass --resume to continue it, or choose another folder"
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the folder for other runs."""
        if self._folder is not None:
            self._folder.close()

    def keep(self, learner: Learner, rng: np.random.RandomState, run: Run) -> None:
        """Write a checkpoint; if that fails, report the reason and continue."""
        if self._folder is None or run.steps == self._last_step:
            return
        generator = rng.get_state(legacy=False)
        try:
            checkpoint = Checkpoint(learner.params(), generator, run, self._engine)
            write_checkpoint(self._folder, checkpoint)
            self.failure, self._last_step = "", run.steps
        except WeightsError as error:
            if not self.failure:
                self._say(f"{error}; the training continues")
            self.failure = str(error)


def write_checkpoint(folder: Folder, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, as `Folder.write`."""
    state, key = generator_parts(checkpoint.generator)
    content = {
        "recipe": asdict(checkpoint.run.recipe),
        "steps": checkpoint.run.steps,
        "log": checkpoint.run.log,
        "generator": state,
        "engine": checkpoint.engine,
        "counts": checkpoint.counts,
    }
    tensors = {**checkpoint.params._asdict(), "generator": key}
    folder.write(checkpoint.run.steps, pack(FORMAT, tensors, content))


def newest_checkpoint(
    folder: Folder, recipe: Recipe, engine: str, say: Callable[[str], object]
) -> Checkpoint | None:
    """The newest complete checkpoint of this run, as `Folder.newest`.

    Raises:
        CheckpointError: it is of another run (the message names the difference), or all files are
            damaged.
    """
    found = folder.newest(load_checkpoint, say)
    if found is not None:
        before = {**asdict(found.run.recipe), "engine": found.engine}
        folder.refuse_another(before, {**asdict(recipe), "engine": engine})
    return found


def load_checkpoint(file: str | Path) -> Checkpoint:
    """Read one checkpoint.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or is not a checkpoint.
    """
    with understanding(file):
        tensors, state = unpack(FORMAT, ["U", "V", "W", "generator"], file)
        recipe, steps = Recipe(**state["recipe"]), state["steps"]
        check_integer("steps", steps, 0, recipe.iterations)
        params = Params(*(np.array(tensors[name]) for name in Params._fields))
        check_params(params)
        sizes = (params.U.shape, params.V.shape, params.W.dtype)
        if sizes != ((2, recipe.hidden), (recipe.hidden, 1), np.dtype(recipe.dtype)):
            raise ValueError("weights must have the recipe's size")
        run = Run(recipe, steps, log=[_record(fields) for fields in state["log"]])
        counts = [(int(step), int(exact), int(tried)) for step, exact, tried in state["counts"]]
        generator = generator_of(state["generator"], tensors["generator"])
        engine = str(state["engine"])
        return Checkpoint(params, generator.get_state(legacy=False), run, engine, counts)


def _record(fields: list[Any]) -> Record:
    step, loss, a, b, said, parity = fields
    if not math.isfinite(loss) or math.isnan(parity or 0.0):
        raise ValueError("loss and parity of a log line must be numbers")
    for name, value in {"step": step, "a": a, "b": b, "said": said}.items():
        check_integer(name, value, 0, None)
    return Record(step, float(loss), a, b, said, None if parity is None else float(parity))
