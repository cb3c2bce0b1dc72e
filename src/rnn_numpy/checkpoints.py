"""Training that survives anything: checkpoints in a folder, the last two kept.

A checkpoint is one safetensors file with the weights, the generator's state and, as JSON in its
metadata, the step, the recipe, the log and a checksum over all of it. It is written beside the
older ones and renamed, so that there is a whole one at every moment. One run uses a folder at a
time: it holds a lock that ends with its process, however that ends.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from rnn_numpy.files import as_safetensors, check_size, checksum, locked, write_bytes
from rnn_numpy.params import Params, check_params
from rnn_numpy.recipe import Recipe, Record, Run

KEPT = 2
FORMAT = "rnn-bptt-reference checkpoint 2"


class CheckpointError(ValueError):
    """A folder of checkpoints that cannot be used; the message names it and says why."""


class Checkpoint(NamedTuple):
    """A training run between two steps.

    `counts` are those of a sweep: for each counted step, how many sums were exact, of how many.
    """

    params: Params
    generator: dict[str, Any]
    run: Run
    engine: str
    counts: list[tuple[int, int, int]] = []  # noqa: RUF012 (never changed)


class Folder:
    """The checkpoints of one run.

    Args:
        path: made if it is not there.

    `close()` lets another run use it; so does the end of the process.

    Raises:
        CheckpointError: it cannot be made, read or written, or another process is using it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _, self.close = locked(self.path / "lock", self)
            for unfinished in self.path.glob(".step-*"):  # of a process that was killed
                unfinished.unlink(missing_ok=True)
        except BlockingIOError:
            raise CheckpointError(f"{path} is in use by another run") from None
        except OSError as error:
            raise CheckpointError(f"cannot use {path}: {error.strerror}") from error

    def files(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return sorted(self.path.glob("step-*.safetensors"))

    def write(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, and of the older ones the last.

        Raises:
            WeightsError: it cannot be written; the older ones are still there.
        """
        file = self.path / f"step-{checkpoint.run.steps:012}.safetensors"
        write_bytes(file, _as_bytes(checkpoint))
        for older in self.files()[:-KEPT]:
            older.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the checkpoints and the folder; what else is in it stays, and so does it then."""
        for file in (*self.files(), self.path / "lock"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()
        self.close()

    def newest(
        self, recipe: Recipe, engine: str, say: Callable[[str], object]
    ) -> Checkpoint | None:
        """The newest whole checkpoint, or None if there is no file at all.

        Args:
            recipe, engine: what the run to be resumed is.
            say: told about files that cannot be used.

        Raises:
            CheckpointError: of another run, with the difference named; or all files are damaged.
        """
        files = self.files()
        for file in reversed(files):
            try:
                found = load_checkpoint(file)
            except CheckpointError as error:
                say(f"{error}; going back to the one before")
                continue
            before, now = asdict(found.run.recipe), asdict(recipe)
            before["engine"], now["engine"] = found.engine, engine
            for name, value in now.items():
                if before[name] != value:
                    raise CheckpointError(
                        f"{self.path} holds a run with {name} {before[name]}, not {value}"
                    )
            return found
        if files:
            raise CheckpointError(f"{self.path} holds no checkpoint that is whole")
        return None


def load_checkpoint(file: str | Path) -> Checkpoint:
    """Read one checkpoint.

    Raises:
        CheckpointError: unreadable, truncated, changed, or not a checkpoint at all.
    """
    try:
        check_size(file)
        with safe_open(file, framework="numpy") as content:
            names = sorted(content.keys())
            if names != ["U", "V", "W", "generator"]:
                raise CheckpointError(f"{file} is not a checkpoint")
            tensors = {name: content.get_tensor(name) for name in names}
            metadata = dict(content.metadata() or {})
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{file} is not a checkpoint of this kind")
        if metadata.pop("checksum", None) != checksum(tensors, metadata):
            raise CheckpointError(f"{file} is damaged: its checksum is wrong")
        params = Params(*(np.array(tensors[name]) for name in Params._fields))
        check_params(params)
        state = json.loads(metadata["state"])
        run = Run(Recipe(**state["recipe"]), state["steps"], log=[Record(*r) for r in state["log"]])
        counts = [(int(step), int(exact), int(tried)) for step, exact, tried in state["counts"]]
        generator = {**state["generator"]}
        generator["state"] = {**generator["state"], "key": tensors["generator"]}
        np.random.RandomState().set_state(generator)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise CheckpointError(f"{file} is damaged: {error}") from error
    return Checkpoint(params, generator, run, state["engine"], counts)


def _as_bytes(checkpoint: Checkpoint) -> bytes:
    generator = {**checkpoint.generator, "state": dict(checkpoint.generator["state"])}
    tensors = {n: np.ascontiguousarray(p) for n, p in checkpoint.params._asdict().items()}
    tensors["generator"] = generator["state"].pop("key")
    state = {
        "recipe": asdict(checkpoint.run.recipe),
        "steps": checkpoint.run.steps,
        "log": checkpoint.run.log,
        "generator": generator,
        "engine": checkpoint.engine,
        "counts": checkpoint.counts,
    }
    metadata = {
        "format": FORMAT,
        "made_by": f"rnn-bptt-reference {version('rnn-bptt-reference')}",
        "state": json.dumps(state),
    }
    return as_safetensors(tensors, {**metadata, "checksum": checksum(tensors, metadata)})
