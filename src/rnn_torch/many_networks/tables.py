"""Results of a sweep as CSV or Parquet, a row for each network and counted step; their summary."""

import csv
import io
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnn_numpy.storage.atomic_files import check_writable, write_bytes
from rnn_numpy.training.many_networks import Trained
from rnn_torch.many_networks.journal import ResultsError, refuse_existing

FORMATS = (".jsonl", ".csv", ".parquet")
Setting = tuple[tuple[str, Any], ...]


def journal_of(out: Path, resume: bool) -> Path:
    """The file of a sweep's journal: `out` if it ends in .jsonl, else `out` with .jsonl appended.

    Raises:
        ResultsError: the suffix is unknown, its library is not installed, or the table exists.
        WeightsError: the table cannot be written.
    """
    if out.suffix not in FORMATS:
        raise ResultsError(f"{out} must end in one of {', '.join(FORMATS)}")
    if out.suffix == ".jsonl":
        return out
    if out.suffix == ".parquet":
        _parquet()
    journal = out.with_name(f"{out.name}.jsonl")
    check_writable(out)
    refuse_existing(out, resume)
    if out.exists() and not journal.exists():
        raise ResultsError(f"{out} is complete: choose another file for another sweep")
    return journal


def write_table(out: Path, results: Iterable[Trained]) -> None:
    """Write a table, in the format of its suffix.

    Raises:
        WeightsError: the file cannot be written.
    """
    rows: list[dict[str, Any]] = [
        {**asdict(result.recipe), "status": result.status, "step": step, "exact": exact,
         "tried": result.tried}
        for result in results
        for step, exact in zip(result.steps, result.exact, strict=True)
    ]  # fmt: skip
    if out.suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0] if rows else [])
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(out, text.getvalue().encode())
    else:
        arrow, parquet = _parquet()
        octets = io.BytesIO()
        parquet.write_table(arrow.Table.from_pylist(rows), octets)
        write_bytes(out, octets.getvalue())


def _parquet() -> tuple[Any, Any]:
    """pyarrow and its module for Parquet; ResultsError if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ResultsError("Parquet files need pyarrow: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet


@dataclass(frozen=True)
class Row:
    """The networks of one setting after one step.

    `exact` networks get all `tried` sums right; `median` and `worst` are their numbers of right
    sums.
    """

    step: int
    networks: int
    exact: int
    median: float
    worst: int
    tried: int


def summary(results: Iterable[Trained]) -> dict[Setting, list[Row]]:
    """For each setting, the rows of its networks of all seeds, in the order of the steps.

    A network that diverged counts as having no right sum from that step on.
    """
    by_setting: dict[Setting, list[Trained]] = {}
    for result in results:
        fields = asdict(result.recipe)
        del fields["seed"]
        by_setting.setdefault(tuple(fields.items()), []).append(result)
    return {setting: list(_rows(alike)) for setting, alike in by_setting.items()}


def _rows(results: list[Trained]) -> Iterator[Row]:
    """The rows of one setting."""
    tried = max(result.tried for result in results)
    for step in sorted({step for result in results for step in result.steps}):
        exact = [dict(zip(r.steps, r.exact, strict=True)).get(step, 0) for r in results]
        right = sum(count == tried for count in exact)
        yield Row(step, len(results), right, statistics.median(exact), min(exact), tried)
