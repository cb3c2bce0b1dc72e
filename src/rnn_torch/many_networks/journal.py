"""The journal of a sweep: JSON Lines, one line a network, on the disk when its training ends."""

import errno
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rnn_numpy.storage.atomic_files import check_writable, locked, write_bytes
from rnn_numpy.training.many_networks import Trained
from rnn_numpy.training.recipe import Recipe

#: A line takes less than a kilobyte for each thousand counted steps.
MOST_BYTES = 1 << 31
_BEGINNING = b'{"recipe": {"seed": '


class ResultsError(ValueError):
    """A results file that cannot be used; the message names it and the reason."""


class Journal:
    """The results in a file, including existing ones.

    Args:
        path: the file, locked until `close()` or the end of the process; None for memory only.
        resume: continue an existing file instead of refusing it.

    Raises:
        ResultsError: the file exists and `resume` is False, is in use, or cannot be read.
        WeightsError: the file cannot be written.
    """

    def __init__(self, path: Path | None, *, resume: bool = False) -> None:
        self.results: dict[Recipe, Trained] = {}
        self.path = path
        if path is None:
            return
        check_writable(path)
        refuse_existing(path, resume)
        try:
            self._file, self.close = locked(path, self)
            self.results, length = read_journal(path)
            os.truncate(self._file, length)  # a line being written when its process was killed
        except BlockingIOError:
            raise ResultsError(f"{path} is in use by another sweep") from None
        except OSError as error:
            raise ResultsError(f"cannot use {path}: {error.strerror}") from error

    def add(self, results: Iterable[Trained]) -> None:
        """Add the results of recipes that have none; write them to the file first.

        Raises:
            ResultsError: they cannot be written; the file is unchanged.
        """
        new = {each.recipe: each for each in results if each.recipe not in self.results}
        if self.path is not None and new:
            lines = b"".join(as_line(asdict(each)) for each in new.values())
            before = os.fstat(self._file).st_size
            try:
                os.stat(self.path)  # or what is written is lost with its name
                if os.write(self._file, lines) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._file)
            except OSError as error:
                os.truncate(self._file, before)
                raise ResultsError(f"cannot write {self.path}: {error.strerror}") from error
        self.results |= new

    def sort(self, first: Iterable[Recipe]) -> None:
        """Put the results of these recipes first, in their order.

        Raises:
            WeightsError: the file cannot be written; it is unchanged.
        """
        ordered = dict.fromkeys([*first, *self.results])
        lines = (as_line(asdict(self.results[recipe])) for recipe in ordered)
        if self.path is not None:
            write_bytes(self.path, b"".join(lines))

    def remove(self) -> None:
        """Remove the file."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def refuse_existing(path: Path, resume: bool) -> None:
    """Raise ResultsError if there is a file, unless it is to be resumed."""
    if path.exists() and not resume:
        raise ResultsError(f"{path} exists: pass --resume to continue it")


def read_journal(path: Path) -> tuple[dict[Recipe, Trained], int]:
    """The results in a journal, and the length of its complete lines; the last may be incomplete.

    Raises:
        ResultsError: another line is not a result; the message has its number.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ResultsError(f"{path} is too large for results")
    *lines, unfinished = path.read_bytes().split(b"\n")
    results, number = [], 0
    try:
        for number, line in enumerate(lines, 1):  # noqa: B007 (the message has it)
            results.append(_trained(json.loads(line)))
        number, begun = len(lines) + 1, unfinished.rstrip(b"\0")  # as power failures leave it
        if begun[: len(_BEGINNING)] != _BEGINNING[: len(begun)]:
            raise ValueError("it does not begin with a recipe")
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ResultsError(f"{path}, line {number}: not a result: {error}") from error
    return {each.recipe: each for each in results}, sum(map(len, lines)) + len(lines)


def as_line(fields: Mapping[str, Any]) -> bytes:
    """The line of a journal with these fields of a result, and their checksum."""
    checked = {**fields, "crc32": zlib.crc32(json.dumps(fields).encode())}
    return json.dumps(checked).encode() + b"\n"


def _trained(fields: dict[str, Any]) -> Trained:
    """A result from its line; the file is not trusted."""
    if fields.pop("crc32") != zlib.crc32(json.dumps(fields).encode()):
        raise ValueError("its checksum is wrong")
    result = Trained(Recipe(**fields.pop("recipe")), **fields)
    lists = [result.steps, result.exact]
    if not all(isinstance(some, list) and all(type(n) is int for n in some) for some in lists):
        raise TypeError("steps and exact must be lists of integers")
    if len(result.steps) != len(result.exact) or type(result.tried) is not int:
        raise ValueError("steps, exact and tried do not fit each other")
    if result.status not in ("finished", "diverged", "vanished"):
        raise ValueError(f"no such status: {result.status!r}")
    return result
