"""Results of a sweep: a journal that loses nothing, tables made from it, and the summary.

The journal is JSON Lines, a network a line, written as each ends. CSV and Parquet files are tables
with a row for each network and counted step; they are made from a journal beside them, which is
removed once they are complete.
"""

import csv
import io
import json
import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from rnn_numpy.files import check_writable
from rnn_numpy.many import Trained
from rnn_numpy.recipe import Recipe

FORMATS = (".jsonl", ".csv", ".parquet")
Setting = tuple[tuple[str, Any], ...]


class ResultsError(ValueError):
    """A results file that cannot be used; the message names it and says why."""


class Journal:
    """The results file of a sweep; also a list of what is in it already.

    Args:
        out: the file, in a format that its ending names; None keeps everything in memory only.
        resume: go on with a file that is there, instead of refusing to touch it.

    Raises:
        ResultsError: an unknown ending, a file that is there without `resume`, or unreadable, or
            an ending whose library is not installed.
    """

    def __init__(self, out: str | None, *, resume: bool = False) -> None:
        self.out = None if out is None else Path(out)
        self.results: list[Trained] = []
        self._file: IO[bytes] | None = None
        if self.out is None:
            return
        if self.out.suffix not in FORMATS:
            raise ResultsError(f"{out} must end in one of {', '.join(FORMATS)}")
        if self.out.suffix == ".parquet":
            _parquet()
        try:
            check_writable(str(self.out))
        except ValueError as error:
            raise ResultsError(str(error)) from error
        self.journal = self.out
        if self.out.suffix != ".jsonl":
            self.journal = self.out.with_name(self.out.name + ".jsonl")
        if not resume:
            for path in {self.out, self.journal}:
                if path.exists():
                    raise ResultsError(f"{path} is there already: --resume goes on with it")
        try:
            self._file = open(self.journal, "a+b")  # noqa: SIM115 - open as long as the sweep runs
            self._read()
        except OSError as error:
            raise ResultsError(f"cannot use {self.journal}: {error.strerror}") from error

    def add(self, result: Trained) -> None:
        """Keep a result: in the journal before anything else happens."""
        self.results.append(result)
        if self._file is not None:
            self._file.write(json.dumps(asdict(result)).encode() + b"\n")
            self._file.flush()

    def close(self, wanted: Sequence[Recipe] | None) -> None:
        """Close the file; with the networks `wanted`, all of them there, make the table of them."""
        if self._file is None or self.out is None:
            return
        self._file.close()
        if wanted is not None and self.out != self.journal:
            rows = list(_rows(chosen(self.results, wanted)))
            content = _as_csv(rows) if self.out.suffix == ".csv" else _as_parquet(rows)
            with tempfile.NamedTemporaryFile(dir=self.out.parent, delete=False) as unfinished:
                unfinished.write(content)
            os.replace(unfinished.name, self.out)
            self.journal.unlink()

    def _read(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                fields = json.loads(line)
                recipe = Recipe(**fields.pop("recipe"))
                self.results.append(Trained(recipe, **fields))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ResultsError(
                    f"{self.journal}, line {number}: not a result: {error}"
                ) from error
        self._file.truncate(len(whole))  # a line that was being written when its process was killed


def chosen(results: Iterable[Trained], recipes: Sequence[Recipe]) -> list[Trained]:
    """The results of these recipes, in their order."""
    by_recipe = {result.recipe: result for result in results}
    return [by_recipe[recipe] for recipe in recipes if recipe in by_recipe]


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
