"""A folder of checkpoints of any kind: written atomically, locked, the last two kept.

A checkpoint is one safetensors file: arrays, all other state as JSON in its metadata, and a
checksum of both. It is written to a temporary file and renamed, so that there is always a complete
one. One run uses a folder at a time: it holds a lock, which the operating system releases when its
process ends.
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
    """A folder of checkpoints that cannot be used; the message names it and the reason."""


def make_folder(path: Path) -> None:
    """Make a folder unless it exists; CheckpointError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CheckpointError(f"cannot use {path}: it is {kind(path)}, not a folder") from None
    except OSError as error:
        raise CheckpointError(f"cannot use {path}: {error.strerror}") from error


class Folder:
    """The checkpoints of one run.

    Args:
        path: the folder, which is made unless it exists.

    `close()`, or the end of the process, releases it for other runs.

    Raises:
        CheckpointError: the folder cannot be made, read or written, or another process uses it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        make_folder(self.path)
        try:
            _, self.close = locked(self.path / "lock", self)
            for unfinished in self.path.glob(".step-*"):  # left by a killed process
                unfinished.unlink(missing_ok=True)
        except BlockingIOError:
            raise CheckpointError(f"{path} is in use by another run") from None
        except OSError as error:
            raise CheckpointError(f"cannot use {path}: {error.strerror}") from error

    def files(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return sorted(self.path.glob("step-*.safetensors"))

    def write(self, step: int, octets: bytes) -> None:
        """Write the checkpoint after this step; of the older ones keep the last.

        Raises:
            WeightsError: it cannot be written; the older ones are unchanged.
        """
        write_bytes(self.path / f"step-{step:012}.safetensors", octets)
        for older in self.files()[:-KEPT]:
            older.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the checkpoints, and the folder unless it contains other files."""
        for file in self.files():
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Windows removes no open file
            (self.path / "lock").unlink(missing_ok=True)
            self.path.rmdir()
        self.close()

    def newest(self, load: Callable[[Path], T], say: Callable[[str], object]) -> T | None:
        """The newest complete checkpoint, or None if there is no file.

        Args:
            load: reads a checkpoint, as `load_checkpoint`.
            say: called with a line about each file that cannot be used.

        Raises:
            CheckpointError: all files are damaged.
        """
        files = self.files()
        for file in reversed(files):
            try:
                return load(file)
            except CheckpointError as error:
                say(f"{error}; using the previous one")
        if files:
            raise CheckpointError(f"{self.path} has no undamaged checkpoint")
        return None

    def refuse_another(self, stored: Mapping[str, object], wanted: Mapping[str, object]) -> None:
        """Raise CheckpointError if the stored run is not the wanted one."""
        for name, value in wanted.items():
            if stored[name] != value:
                raise CheckpointError(
                    f"{self.path} holds a run with {name} {stored[name]}, not {value}"
                )


def pack(kind: str, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> bytes:
    """A checkpoint's file: arrays and a state of JSON values, with a checksum."""
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
        CheckpointError: the file is of another kind, or damaged; also as `understanding`.
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
    """Turn errors raised while a file is read and decoded into CheckpointError."""
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
    """The result of `RandomState.get_state(legacy=False)`, as JSON values and an array."""
    state = dict(generator["state"])
    key = state.pop("key")
    return {**generator, "state": state}, key


def generator_of(parts: Mapping[str, Any], key: np.ndarray) -> np.random.RandomState:
    """The generator whose state has these parts.

    Raises:
        ValueError, TypeError, LookupError: they are not the parts of a state.
    """
    # NumPy checks neither the length of the key nor the position in it.
    if (key.shape, key.dtype) != ((_WORDS,), np.dtype(np.uint32)):
        raise ValueError(f"a generator's key must be uint32 ({_WORDS},)")
    check_integer("the generator's position", parts["state"]["pos"], 0, _WORDS)
    generator = np.random.RandomState()
    generator.set_state({**parts, "state": {**parts["state"], "key": key}})
    return generator
