"""Write files atomically; lock files that one process at a time may append to."""

import contextlib
import glob
import os
import stat
import tempfile
import weakref
from collections.abc import Callable
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


def locked(path: str | Path, owner: object) -> tuple[int, Callable[[], object]]:
    """Open a file for appending, under an exclusive lock.

    Returns its descriptor and a function that closes it. The lock also ends with `owner` and with
    the process, even if it is killed.

    Raises:
        BlockingIOError: another owner has the lock.
        OSError: the file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    close = weakref.finalize(owner, os.close, descriptor)
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:  # Windows locks bytes, which nobody else can read then: one that no file has
        os.lseek(descriptor, 1 << 40, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    return descriptor, close


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, atomically.

    Raises:
        WeightsError: the file cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, octets: bytes) -> None:
    """Write a file, atomically and durably: complete even after a power failure.

    Raises:
        WeightsError: the file cannot be written, or the path is not that of a regular file.
    """
    # Follow a link; use a temporary file in the same folder, so that the rename is atomic.
    target = os.path.realpath(path)
    try:
        _refuse_all_but_files(path)
        temporary = tempfile.NamedTemporaryFile(  # noqa: SIM115 - renamed when it is closed
            dir=os.path.dirname(target),
            prefix=f".{os.path.basename(target)}.",
            suffix=_UNFINISHED,
            delete=False,
        )
        try:
            with temporary:
                temporary.write(octets)
                temporary.flush()
                os.fsync(temporary.fileno())
            os.chmod(temporary.name, _usual_mode())
            os.replace(temporary.name, target)
        except BaseException:
            with contextlib.suppress(OSError):  # the folder may have been removed
                os.unlink(temporary.name)
            raise
        if hasattr(os, "O_DIRECTORY"):  # not on Windows
            folder = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)  # makes the renaming durable
            finally:
                os.close(folder)
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error


def remove_unfinished(path: str | Path) -> None:
    """Remove what a process left that was killed while it wrote this file."""
    target = Path(os.path.realpath(path))
    for left in target.parent.glob(f".{glob.escape(target.name)}.*{_UNFINISHED}"):
        left.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise WeightsError unless `write_bytes` can write this file; call it before the work."""
    target = os.path.realpath(path)
    try:
        _refuse_all_but_files(path)
        with tempfile.TemporaryFile(dir=os.path.dirname(target)):
            pass
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error


def kind(path: str | Path) -> str:
    """The kind of file at a path, in words, after following links; "" if there is none.

    Raises:
        OSError: the system cannot tell.
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
    """The permissions that open() gives a new file; temporary files get narrower ones."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
