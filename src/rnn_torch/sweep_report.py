"""What a sweep prints, for people and for programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from rnn_numpy.many import Trained
from rnn_numpy.terminal import say
from rnn_torch.results import Row, Setting, summary


def print_json(results: list[Trained], wanted: int, engine: str, out: str | None) -> None:
    """One object on one line: how many of the wanted networks there are, and their counts."""
    document = {
        "networks": len(results),
        "wanted": wanted,
        "diverged": _diverged(results),
        "engine": engine,
        "out": out,
        "settings": [
            {"setting": dict(setting), "rows": [asdict(row) for row in rows]}
            for setting, rows in summary(results).items()
        ],
    }
    say(json.dumps(document, allow_nan=False))


def print_tables(results: list[Trained], wanted: int, engine: str) -> None:
    """A table for each setting, and how many of the wanted networks there are."""
    for setting, rows in summary(results).items():
        say("\n".join(_table(setting, rows)))
    unfinished = "" if len(results) == wanted else f" of {wanted}; --resume goes on"
    diverged = f", {_diverged(results)} diverged" if _diverged(results) else ""
    say(f"{len(results)} networks{unfinished}{diverged}; engine: {engine}")


def _diverged(results: list[Trained]) -> int:
    return sum(result.status == "diverged" for result in results)


def _table(setting: Setting, rows: list[Row]) -> Iterator[str]:
    named = dict(setting)
    yield (
        f"{named['bits']} bits, {named['hidden']} hidden units, learning rate "
        f"{named['learning_rate']:g}, {named['dtype']}"
        + (f", {named['batch_size']} examples a step" if named["batch_size"] > 1 else "")
        + f": exact sums of {rows[0].tried}"
    )
    yield f"{'step':>8}{'networks exact':>18}{'median':>12}{'worst':>10}"
    for row in rows:
        exact = f"{row.exact} of {row.networks}"
        yield f"{row.step:8}{exact:>18}{row.median:12.0f}{row.worst:10}"
