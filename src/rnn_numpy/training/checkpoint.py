"""A training between two steps, as one file: weights, generator, recipe, engine, step and log.

It is a safetensors file with a checksum, replaced atomically: after `kill -9` at any moment there
is the old or the new one, and a training that continues from it ends with the same bytes.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bptt_check.commands.atomic_files import (
    WeightsError,
    check_writable,
    made_by,
    remove_unfinished,
    write_bytes,
)
from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.storage.weights import as_safetensors, read_safetensors
from rnn_numpy.training.recipe import Engine, Recipe, Record, Training

FORMAT = "rnn-bptt-reference checkpoint 2"
_NAMES = ("U", "V", "W", "generator")
_WORDS = 624  # of a Mersenne Twister


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and the reason."""


class Stored(NamedTuple):
    """The contents of a checkpoint."""

    recipe: Recipe
    engine: str
    steps: int
    log: list[Record]
    params: Params
    rng: np.random.RandomState


class Checkpoint:
    """The file of `train --checkpoint`; without a path it does nothing.

    Args:
        say: called with a line when the file cannot be written.
    """

    def __init__(self, path: str | None, say: Callable[[str], object]) -> None:
        self.path = None if path is None else Path(path)
        #: Why the last checkpoint could not be written; empty if it was written.
        self.failure = ""
        self._say, self._last = say, -1

    def begin(self, recipe: Recipe, engine: Engine, *, resume: bool) -> Training:
        """A training from its beginning, or, if `resume`, from the checkpoint if there is one.

        Raises:
            CheckpointError: the file exists and `resume` is False, or is not of this training.
            WeightsError: the file cannot be written.
            ValueError: the engine cannot run here.
        """
        training = Training(recipe, engine)
        if self.path is None:
            return training
        if self.path.is_dir():
            file = max(self.path.glob("step-*.safetensors"), default=self.path / "NAME")
            raise CheckpointError(
                f"{self.path} is a folder, but a checkpoint is one file: pass --checkpoint {file}"
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
            training.learner = engine.learner(found.params, recipe)
            training.rng, training.steps, training.log = found.rng, found.steps, found.log
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
    generator = training.rng.get_state(legacy=False)
    key = generator["state"].pop("key")
    state = {
        "recipe": asdict(training.recipe),
        "steps": training.steps,
        "log": training.log,
        "generator": generator,
        "engine": training.engine.name,
    }
    metadata = {"format": FORMAT, "made_by": made_by(), "state": json.dumps(state)}
    return as_safetensors({**training.learner.params()._asdict(), "generator": key}, metadata)


def read(file: Path) -> Stored:
    """Read a checkpoint; the file is not trusted.

    Raises:
        CheckpointError: it cannot be read, is damaged, or is not a checkpoint.
    """
    try:
        tensors, metadata = read_safetensors(file, _NAMES)
    except WeightsError as error:
        raise CheckpointError(f"not a checkpoint: {error}") from error
    if metadata.get("format") != FORMAT or "checksum" not in metadata:
        raise CheckpointError(f"{file} is not a checkpoint of this version")
    try:
        return _stored(tensors, json.loads(metadata["state"]))
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise CheckpointError(f"{file} is damaged, or not a checkpoint: {error}") from error


def _stored(tensors: dict[str, np.ndarray], state: dict[str, Any]) -> Stored:
    recipe, steps = Recipe(**state["recipe"]), state["steps"]
    check_integer("steps", steps, 0, recipe.iterations)
    params = Params(*(np.array(tensors[name]) for name in Params._fields))
    check_params(params)
    sizes = (params.U.shape, params.V.shape, params.W.dtype)
    if sizes != ((2, recipe.hidden), (recipe.hidden, 1), np.dtype(recipe.dtype)):
        raise ValueError("weights must have the recipe's size")
    # NumPy checks neither the length of the key nor the position in it.
    key, parts = tensors["generator"], state["generator"]
    if (key.shape, key.dtype) != ((_WORDS,), np.dtype(np.uint32)):
        raise ValueError(f"a generator's key must be uint32 ({_WORDS},)")
    check_integer("the generator's position", parts["state"]["pos"], 0, _WORDS)
    rng = np.random.RandomState()
    rng.set_state({**parts, "state": {**parts["state"], "key": key}})
    log = [_record(fields) for fields in state["log"]]
    return Stored(recipe, str(state["engine"]), steps, log, params, rng)


def _record(fields: list[Any]) -> Record:
    step, loss, a, b, said, parity = fields
    if not math.isfinite(loss) or math.isnan(parity or 0.0):
        raise ValueError("loss and parity of a log line must be numbers")
    for name, value in {"step": step, "a": a, "b": b, "said": said}.items():
        check_integer(name, value, 0, None)
    return Record(step, float(loss), a, b, said, None if parity is None else float(parity))
