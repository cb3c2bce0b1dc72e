"""Write files atomically; lock files that one process at a time may append to."""

import contextlib
import glob
import os
import stat
import tempfile
import weakref
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


_UNFINISHED = ".unfinished"


class WeightsError(ValueError):
    """A file that cannot be read or written; the message names the file and the reason."""


def made_by() -> str:
    """This package and its version, for the files it writes; "unknown" if it is not installed."""
    try:
        return f"rnn-bptt-reference {version('rnn-bptt-reference')}"
    except PackageNotFoundError:
        return "rnn-bptt-reference, version unknown"


def locked(path: str | Path, owner: object) -> int:
    """Open a file for appending, under a lock that ends with `owner` or with the process.

    Returns its descriptor.

    Raises:
        BlockingIOError: another owner has the lock.
        OSError: the file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    weakref.finalize(owner, os.close, descriptor)
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:  # Windows locks bytes, which nobody else can read then: one that no file has
        os.lseek(descriptor, 1 << 40, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    return descriptor


def write_bytes(path: str | Path, octets: bytes) -> None:
    """Write a file, atomically and durably: complete even after a power failure.

    Raises:
        WeightsError: the file cannot be written, or the path is not that of a regular file.
    """
    # Follow a link; use a temporary file in the same folder, so that the rename is atomic.
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    with _writing(path):
        descriptor, temporary = tempfile.mkstemp(_UNFINISHED, f".{name}.", folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(descriptor)
            os.chmod(temporary, _usual_mode())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):  # the folder may have been removed
                os.unlink(temporary)
            raise
        if hasattr(os, "O_DIRECTORY"):  # not on Windows
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)  # makes the renaming durable
            finally:
                os.close(descriptor)


def remove_unfinished(path: str | Path) -> None:
    """Remove what a process left that was killed while it wrote this file."""
    target = Path(os.path.realpath(path))
    for left in target.parent.glob(f".{glob.escape(target.name)}.*{_UNFINISHED}"):
        left.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise WeightsError unless `write_bytes` can write this file; call it before the work."""
    with _writing(path), tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))):
        pass


@contextlib.contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    """In this context an OSError becomes a WeightsError; one if the path is no regular file's."""
    try:
        try:
            kind = _KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "no file")
        except FileNotFoundError:
            absent = "a folder" if str(path).endswith(os.sep) else "a file"
            kind = "a link to nothing" if os.path.islink(path) else absent
        if kind != "a file":
            raise OSError(0, f"it is {kind}")
        yield
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error


def _usual_mode() -> int:
    """The permissions that open() gives a new file; temporary files get narrower ones."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
