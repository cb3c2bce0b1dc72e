"""Weights on disk: U, W, V as safetensors, with strings about their origin as metadata.

Loading never runs code, and a file that is not one of ours ends in one `WeightsError`.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import weakref
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rnn_numpy.elman_network.params import Params, check_params

#: The largest network has 2^14 hidden units: 2 GiB in float64.
MOST_BYTES = 1 << 32

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class WeightsError(ValueError):
    """A weights file that cannot be read or written; the message names the file and the reason."""


def made_by() -> str:
    """This package and its version, for the files it writes; a tree not installed knows none."""
    try:
        return f"rnn-bptt-reference {version('rnn-bptt-reference')}"
    except PackageNotFoundError:
        return "rnn-bptt-reference, version unknown"


def save_params(path: str | Path, params: Params, metadata: Mapping[str, str]) -> None:
    """Write U, W, V and the metadata, atomically: the file is whole or as it was before.

    Raises:
        ValueError: metadata named `checksum`, which this adds itself.
        WeightsError: the file cannot be written there.
    """
    if "checksum" in metadata:
        raise ValueError("metadata must not be named 'checksum': save_params adds that itself")
    write_bytes(path, as_safetensors(params._asdict(), metadata))


def as_safetensors(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """A file with these contents and their checksum: the same bytes for the same contents.

    The library itself writes metadata in any order.
    """
    checked = {**metadata, "checksum": checksum(tensors, metadata)}
    octets = save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, checked)
    end = 8 + int.from_bytes(octets[:8], "little")
    header = json.loads(octets[8:end])
    header["__metadata__"] = checked
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data stay aligned
    return len(text).to_bytes(8, "little") + text + octets[end:]


def checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 of what a file holds: its arrays, their shapes and dtypes, and its metadata."""
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    for key, text in sorted(metadata.items()):
        digest.update(f"{key}\0{text}\0".encode())
    return digest.hexdigest()


def locked(path: str | Path, owner: object) -> tuple[int, Callable[[], object]]:
    """Open a file to append to, for nobody else: its descriptor, and what closes it.

    The lock ends with its owner at the latest, and with the process, however that ends.

    Raises:
        BlockingIOError: another owner has it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    close = weakref.finalize(owner, os.close, descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor, close


def check_size(path: str | Path) -> None:
    """Raise WeightsError if a file is larger than the largest network's could be.

    Raises:
        OSError: it is not there.
    """
    if os.path.getsize(path) > MOST_BYTES:
        raise WeightsError(f"{path} is too large: {MOST_BYTES >> 30} GiB at most")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, atomically.

    Raises:
        WeightsError: the file cannot be written there.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, octets: bytes) -> None:
    """Write a file, atomically and durably: whole, even if the power fails the next moment.

    Raises:
        WeightsError: the file cannot be written there, or something is there that is no file.
    """
    # Through a link to the file it names; in the same folder, for the rename to be atomic.
    target = os.path.realpath(path)
    try:
        _refuse_all_but_files(path)
        with tempfile.NamedTemporaryFile(
            dir=os.path.dirname(target), prefix=f".{os.path.basename(target)}.", delete=False
        ) as temporary:
            try:
                temporary.write(octets)
                temporary.flush()
                os.fsync(temporary.fileno())
                os.chmod(temporary.name, _usual_mode())
                os.replace(temporary.name, target)
            except BaseException:
                with contextlib.suppress(OSError):  # the folder itself may be gone
                    os.unlink(temporary.name)
                raise
        folder = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(folder)  # the renaming, too
        finally:
            os.close(folder)
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error


def check_writable(path: str | Path) -> None:
    """Raise WeightsError unless `write_bytes` can write this file: better known before the work."""
    target = os.path.realpath(path)
    try:
        _refuse_all_but_files(path)
        with tempfile.TemporaryFile(dir=os.path.dirname(target)):
            pass
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error


def load_params(path: str | Path) -> tuple[Params, dict[str, str]]:
    """Read U, W, V and the metadata, from either package's file.

    Raises:
        WeightsError: no such file, not safetensors, truncated, other tensors inside than U, W, V,
            or weights that `check_params` refuses.
    """
    try:
        check_size(path)
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            if names != ["U", "V", "W"]:
                raise WeightsError(f"{path} must hold U, V and W alone, got {names or 'nothing'}")
            params = Params(*(file.get_tensor(name) for name in Params._fields))
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file, or not all of one: {error}") from error
    try:
        # Not every file is one of ours, but one that is must be as it was written.
        wanted = metadata.pop("checksum", None)
        if wanted is not None and wanted != checksum(params._asdict(), metadata):
            raise ValueError("it is damaged: its checksum is wrong")
        check_params(params)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return params, metadata


def kind(path: str | Path) -> str:
    """What is there, in words, a link followed; "" if nothing is.

    Raises:
        OSError: it cannot be told.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link to nothing" if os.path.islink(path) else ""
    return _KINDS.get(stat.S_IFMT(mode), "no file")


def _refuse_all_but_files(path: str | Path) -> None:
    found = kind(path) or ("a folder" if str(path).endswith(os.sep) else "")
    if found not in ("", "a file"):
        raise OSError(0, f"it is {found}")


def _usual_mode() -> int:
    """The permissions that open() gives a new file, which a temporary one does not get."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
