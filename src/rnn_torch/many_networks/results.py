"""Results of a sweep: the journal on disk, tables made from it, and the summary.

The journal is JSON Lines, one line a network, written when its training ends. CSV and Parquet files
are tables with a row for each network and counted step; they are made from a journal beside them,
which is removed once they are complete.
"""

import csv
import errno
import io
import json
import os
import statistics
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnn_numpy.storage.atomic_files import WeightsError, check_writable, locked, write_bytes
from rnn_numpy.training.many_networks import Trained
from rnn_numpy.training.recipe import Recipe
from rnn_torch.many_networks.grid import Grid

#: A line takes less than a kilobyte for each thousand counted steps.
MOST_BYTES = 1 << 31
FORMATS = (".jsonl", ".csv", ".parquet")
Setting = tuple[tuple[str, Any], ...]


class ResultsError(ValueError):
    """A results file that cannot be used; the message names it and says why."""


class Journal:
    """The results of a sweep, those in its file already included.

    Args:
        out: the file, in a format that its ending names; None keeps everything in memory only.
        resume: go on with a file that is there, instead of refusing to touch it.

    Raises:
        ResultsError: an unknown ending, a file that is there without `resume`, or unreadable, or
            an ending whose library is not installed.
    """

    def __init__(self, out: str | None, *, resume: bool = False) -> None:
        self.results: list[Trained] = []
        self._out = self._journal = None if out is None else Path(out)
        if self._out is None:
            return
        if self._out.suffix not in FORMATS:
            raise ResultsError(f"{out} must end in one of {', '.join(FORMATS)}")
        if self._out.suffix == ".parquet":
            _parquet()
        if self._out.suffix != ".jsonl":
            self._journal = self._out.with_name(self._out.name + ".jsonl")
        assert self._journal is not None
        for path in {self._out, self._journal}:
            try:
                check_writable(path)
            except WeightsError as error:
                raise ResultsError(str(error)) from error
            if path.exists() and not resume:
                raise ResultsError(f"{path} is there already: --resume goes on with it")
        if self._out != self._journal and self._out.exists() and not self._journal.exists():
            raise ResultsError(f"{self._out} is complete: choose another file for another sweep")
        there = self._journal.exists()
        try:
            self._file, self.close = locked(self._journal, self)
            if there:
                self.results = read_results(self._journal)
        except BlockingIOError:
            raise ResultsError(f"{self._journal} is in use by another sweep") from None
        except OSError as error:
            raise ResultsError(f"cannot use {self._journal}: {error.strerror}") from error

    def add(self, result: Trained) -> None:
        """Keep a result, in the file first.

        Raises:
            OSError: it could not be written.
        """
        if self._journal is not None:
            if not self._journal.exists():
                raise FileNotFoundError(errno.ENOENT, "it has been removed", str(self._journal))
            line = as_line(asdict(result))
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        self.results.append(result)

    def complete(self, recipes: Grid) -> None:
        """Finish: sort the journal, or write its table. Every recipe must have a result.

        A journal's results of other sweeps follow, in their present order.

        Raises:
            WeightsError: it could not be written; the journal is still there.
        """
        if self._out is None or self._journal is None:
            return
        ordered = chosen(self.results, recipes)
        if self._out == self._journal:
            others = [result for result in self.results if result.recipe not in recipes]
            lines = (as_line(asdict(result)) for result in ordered + others)
            write_bytes(self._out, b"".join(lines))
            return
        rows = list(_rows(ordered))
        content = _as_csv(rows) if self._out.suffix == ".csv" else _as_parquet(rows)
        write_bytes(self._out, content)
        self._journal.unlink(missing_ok=True)


def read_results(journal: Path) -> list[Trained]:
    """The results in a journal; a last line that was never finished is cut off.

    Raises:
        ResultsError: anything else that is no result; the message names the line.
        OSError: it cannot be read.
    """
    if journal.stat().st_size > MOST_BYTES:
        raise ResultsError(f"{journal} is too large for results")
    content = journal.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    results = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            results.append(_trained(json.loads(line)))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            where = f"{journal}, line {number}"
            raise ResultsError(f"{where}: not a result: {error}") from error
    if len(whole) < len(content):
        os.truncate(journal, len(whole))  # a line being written when its process was killed
    return results


def as_line(fields: Mapping[str, Any]) -> bytes:
    """The line of a journal with these fields of a result, and their checksum."""
    checked = {**fields, "crc32": zlib.crc32(json.dumps(fields).encode())}
    return json.dumps(checked).encode() + b"\n"


def _trained(fields: dict[str, Any]) -> Trained:
    """A result from its line; the file may be anybody's."""
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


def chosen(results: Iterable[Trained], recipes: Grid) -> list[Trained]:
    """The results of these recipes, in their order."""
    by_recipe = {result.recipe: result for result in results}
    return [by_recipe[recipe] for recipe in recipes.in_order(by_recipe)]


@dataclass(frozen=True)
class Row:
    """The networks of one setting after one step; the numbers of sums are of `tried`."""

    step: int
    networks: int
    exact: int
    median: float
    worst: int
    tried: int


def summary(results: Iterable[Trained]) -> dict[Setting, list[Row]]:
    """For each setting, whatever the seed: how many networks are exact after each counted step.

    A network that diverged has no sum right from then on.
    """
    by_setting: dict[Setting, list[Trained]] = {}
    for result in results:
        fields = asdict(result.recipe)
        del fields["seed"]
        by_setting.setdefault(tuple(fields.items()), []).append(result)
    return {setting: list(_summary(some)) for setting, some in by_setting.items()}


def _summary(results: list[Trained]) -> Iterator[Row]:
    tried = max(result.tried for result in results)
    for step in sorted({step for result in results for step in result.steps}):
        exact = [dict(zip(r.steps, r.exact, strict=True)).get(step, 0) for r in results]
        right = sum(count == tried for count in exact)
        yield Row(step, len(results), right, statistics.median(exact), min(exact), tried)


def _rows(results: Iterable[Trained]) -> Iterator[dict[str, Any]]:
    for result in results:
        for step, exact in zip(result.steps, result.exact, strict=True):
            yield {
                **asdict(result.recipe),
                "status": result.status,
                "step": step,
                "exact": exact,
                "tried": result.tried,
            }


def _as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0].keys() if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _as_parquet(rows: list[dict[str, Any]]) -> bytes:
    arrow, parquet = _parquet()
    buffer = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ResultsError(
            "Parquet files need pyarrow: pip install 'rnn-bptt-reference[parquet]'"
        ) from None
    return pyarrow, pyarrow.parquet
