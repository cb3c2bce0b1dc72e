"""Checkpoints of a training run: weights, state of the generator, recipe, step and log."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.storage.checkpoint_folder import (
    Folder,
    generator_of,
    generator_parts,
    pack,
    understanding,
    unpack,
)
from rnn_numpy.training.recipe import Recipe, Record, Run

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
