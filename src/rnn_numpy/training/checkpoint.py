"""A training between two steps, as one file: its weights, and recipe, engine, step and log.

It is a weights file with more metadata, replaced atomically: after `kill -9` at any moment there is
the old or the new one, and a training that continues from it ends with the same bytes. The examples
taken so far follow from the recipe, so the generator is not stored.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from bptt_check.commands.atomic_files import (
    WeightsError,
    check_writable,
    made_by,
    remove_unfinished,
    write_bytes,
)
from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.elman_network.params import Params
from rnn_numpy.storage.weights import as_safetensors, load_params
from rnn_numpy.training.recipe import Engine, Recipe, Record, Training

FORMAT = "rnn-bptt-reference checkpoint 3"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and the reason."""


class Stored(NamedTuple):
    """The contents of a checkpoint."""

    recipe: Recipe
    engine: str
    steps: int
    log: list[Record]
    params: Params


class Checkpoint:
    """The file of `train --checkpoint`; without a path it does nothing.

    `say` is called with a line when the file cannot be written.
    """

    def __init__(self, path: str | None, say: Callable[[str], object]) -> None:
        self.path = None if path is None else Path(path)
        #: Why the last checkpoint could not be written; empty if it was written.
        self.failure = ""
        self._say, self._last = say, -1

    def begin(self, recipe: Recipe, engine: Engine, *, resume: bool) -> Training:
        """A training from its beginning, or, if `resume`, from the checkpoint if there is one.

        CheckpointError if the file exists and `resume` is False, or is not of this training;
        WeightsError if it cannot be written; ValueError if the engine cannot run here.
        """
        training = Training(recipe, engine)
        if self.path is None:
            return training
        if self.path.is_dir():
            raise CheckpointError(
                f"{self.path} is a folder, but a checkpoint is one file: pass --checkpoint FILE"
            )
        check_writable(self.path)
        if self.path.exists():
            if not resume:
                raise CheckpointError(f"{self.path} exists: pass --resume to continue it")
            found = read(self.path)
            before = {**asdict(found.recipe), "engine": found.engine}
            for name, value in {**asdict(recipe), "engine": engine.name}.items():
                if before[name] != value:
                    difference = f"{name} {before[name]}, not {value}"
                    raise CheckpointError(f"{self.path} holds a run with {difference}")
            training.continue_from(found.params, found.steps, found.log)
        remove_unfinished(self.path)
        return training

    def keep(self, training: Training) -> None:
        """Replace the file; if that fails, report the reason and continue."""
        if self.path is None or training.steps == self._last:
            return
        try:
            write_bytes(self.path, packed(training))
            self.failure, self._last = "", training.steps
        except WeightsError as error:
            if not self.failure:
                self._say(f"{error}; the training continues")
            self.failure = str(error)


def packed(training: Training) -> bytes:
    """The contents of a checkpoint."""
    state = {
        "recipe": asdict(training.recipe),
        "engine": training.engine.name,
        "steps": training.steps,
        "log": training.log,
    }
    metadata = {"format": FORMAT, "made_by": made_by(), "state": json.dumps(state)}
    return as_safetensors(training.learner.params()._asdict(), metadata)


def read(file: Path) -> Stored:
    """Read a checkpoint, which is not trusted: CheckpointError if it is damaged, or is none."""
    try:
        params, metadata = load_params(file, need_checksum=True)
    except WeightsError as error:
        raise CheckpointError(f"not a checkpoint: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{file} is not a checkpoint of this version")
    try:
        return _checked(Stored(**json.loads(metadata["state"]), params=params))
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise CheckpointError(f"{file} is damaged, or not a checkpoint: {error}") from error


def _checked(found: Stored) -> Stored:
    """This, its recipe and log lines made of plain values; raises as a constructor does."""
    params, recipe = found.params, Recipe(**found.recipe)  # type: ignore[arg-type]
    check_integer("steps", found.steps, 0, recipe.iterations)
    sizes = (params.U.shape, params.V.shape, params.W.dtype.name)
    if sizes != ((2, recipe.hidden), (recipe.hidden, 1), recipe.dtype):
        raise ValueError("weights must have the recipe's size")
    log = [Record(*fields) for fields in found.log]
    for record in log:
        if not math.isfinite(record.loss) or math.isnan(record.parity or 0.0):
            raise ValueError("loss and parity of a log line must be numbers")
        for name in ("step", "a", "b", "said"):
            check_integer(name, getattr(record, name), 0, None)
    return found._replace(recipe=recipe, log=log)
