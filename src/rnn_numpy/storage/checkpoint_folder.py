"""A folder of checkpoints, whatever they hold: written whole, locked, the last two kept.

A checkpoint is one safetensors file: arrays and, as JSON in its metadata, everything else, with a
checksum over all of it. It is written beside the older ones and renamed, so that a complete
one exists at every moment. One run uses a folder at a time: it holds a lock, which the operating
system releases when its process ends.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open

from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.storage.atomic_files import kind, locked, write_bytes
from rnn_numpy.storage.tensors import as_safetensors, check_size, checksum
from rnn_numpy.storage.weights import made_by

KEPT = 2
_WORDS = 624  # of a Mersenne Twister
T = TypeVar("T")


class CheckpointError(ValueError):
    """A folder of checkpoints that cannot be used; the message names it and says why."""


def make_folder(path: Path) -> None:
    """Make a folder, if it is not there; CheckpointError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CheckpointError(f"cannot use {path}: it is {kind(path)}, no folder") from None
    except OSError as error:
        raise CheckpointError(f"cannot use {path}: {error.strerror}") from error


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
        make_folder(self.path)
        try:
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

    def write(self, step: int, octets: bytes) -> None:
        """Keep the checkpoint after this step, and of the older ones the last.

        Raises:
            WeightsError: it cannot be written; the older ones are still there.
        """
        write_bytes(self.path / f"step-{step:012}.safetensors", octets)
        for older in self.files()[:-KEPT]:
            older.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the checkpoints and the folder; what else is in it stays, and so does it then."""
        for file in (*self.files(), self.path / "lock"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()
        self.close()

    def newest(self, load: Callable[[Path], T], say: Callable[[str], object]) -> T | None:
        """The newest whole checkpoint, or None if there is no file at all.

        Args:
            load: reads one, as `load_checkpoint`.
            say: told about files that cannot be used.

        Raises:
            CheckpointError: all files are damaged.
        """
        files = self.files()
        for file in reversed(files):
            try:
                return load(file)
            except CheckpointError as error:
                say(f"{error}; going back to the one before")
        if files:
            raise CheckpointError(f"{self.path} holds no checkpoint that is whole")
        return None

    def refuse_another(self, before: Mapping[str, object], now: Mapping[str, object]) -> None:
        """Raise CheckpointError if the run that is kept here is not the one asked for now."""
        for name, value in now.items():
            if before[name] != value:
                raise CheckpointError(
                    f"{self.path} holds a run with {name} {before[name]}, not {value}"
                )


def pack(kind: str, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> bytes:
    """A checkpoint's file: arrays and a state that JSON can hold, with a checksum."""
    metadata = {
        "format": kind,
        "made_by": made_by(),
        "state": json.dumps(state),
    }
    return as_safetensors(tensors, metadata)


def unpack(
    kind: str, names: Iterable[str], file: str | Path
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of these names and the state in a file that `pack` made.

    Raises:
        CheckpointError: another kind of file, or a changed one; `understanding` has the rest.
    """
    check_size(file)
    with safe_open(file, framework="numpy") as content:
        if sorted(content.keys()) != sorted(names):
            raise CheckpointError(f"{file} is not a checkpoint")
        tensors = {name: content.get_tensor(name) for name in names}
        metadata = dict(content.metadata() or {})
    if metadata.get("format") != kind:
        raise CheckpointError(f"{file} is not a checkpoint of this kind")
    if metadata.pop("checksum", None) != checksum(tensors, metadata):
        raise CheckpointError(f"{file} is damaged: its checksum is wrong")
    return tensors, json.loads(metadata["state"])


@contextlib.contextmanager
def understanding(file: str | Path) -> Iterator[None]:
    """Whatever goes wrong inside, reading and making sense of a file, is a CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
            RecursionError) as error:  # fmt: skip
        raise CheckpointError(f"{file} is damaged: {error}") from error


def generator_parts(generator: Mapping[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
    """What `RandomState.get_state(legacy=False)` gives, as what JSON can hold and an array."""
    state = dict(generator["state"])
    key = state.pop("key")
    return {**generator, "state": state}, key


def generator_of(parts: Mapping[str, Any], key: np.ndarray) -> np.random.RandomState:
    """The generator whose state has these parts.

    Raises:
        ValueError, TypeError, LookupError: they are none.
    """
    # NumPy itself would take a key of any length, and read from wherever the position leads.
    if (key.shape, key.dtype) != ((_WORDS,), np.dtype(np.uint32)):
        raise ValueError(f"a generator's key must be uint32 ({_WORDS},)")
    check_integer("the generator's position", parts["state"]["pos"], 0, _WORDS)
    generator = np.random.RandomState()
    generator.set_state({**parts, "state": {**parts["state"], "key": key}})
    return generator
