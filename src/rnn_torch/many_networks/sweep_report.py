"""The result of a sweep as tables and as JSON, and an estimate of the remaining time."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from rnn_numpy.commands.terminal import say
from rnn_numpy.training.many_networks import Trained
from rnn_torch.many_networks.tables import Row, Setting, summary


class Pace:
    """Estimates the remaining time once, from the rate so far.

    The estimate is made after ten seconds and `at_once` networks; it is printed if it is a minute
    or more.

    Args:
        left: number of networks to train.
        say: called with the line.
        at_once: number of networks trained at a time, if each is counted when its training ends; 0
            if fractions of networks are counted.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        left: int,
        say: Callable[[str], object],
        *,
        at_once: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left, self._say, self._at_once, self._clock = float(left), say, at_once, clock
        self._start, self._trained, self._said = clock(), 0.0, False

    def update(self, networks: int | float) -> None:
        """Count this many networks as trained."""
        self._left -= networks
        self._trained += networks
        seconds = self._clock() - self._start
        if self._said or seconds < 10 or self._trained < self._at_once or not self._trained:
            return
        self._said = True
        rate = self._trained / seconds
        if self._left / rate >= 60:
            shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
            self._say(
                f"{self._left:,.0f} networks are left: at {shown} a second, as in the first "
                f"{_duration(seconds)}, they take about {_duration(self._left / rate)}"
            )


def _duration(seconds: float) -> str:
    """Seconds as text, in the largest unit that gives at least 2."""
    units = {"years": 365.25 * 86400, "days": 86400, "hours": 3600, "minutes": 60}
    for unit, length in units.items():
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} seconds"


def print_json(results: list[Trained], wanted: int, engine: str, out: str | None) -> None:
    """Print the summary as one JSON object on one line.

    Args:
        wanted: number of networks in the sweep.
        out: the file of the results, if there is one.
    """
    document = {
        "networks": len(results),
        "wanted": wanted,
        "diverged": _number(results, "diverged"),
        "vanished": _number(results, "vanished"),
        "engine": engine,
        "out": out,
        "settings": [
            {"setting": dict(setting), "rows": [asdict(row) for row in rows]}
            for setting, rows in summary(results).items()
        ],
    }
    say(json.dumps(document, allow_nan=False))


def print_tables(results: list[Trained], wanted: int, engine: str) -> None:
    """Print a table for each setting, then the number of networks, of `wanted` in the sweep."""
    for setting, rows in summary(results).items():
        say("\n".join(_table(setting, rows)))
    unfinished = "" if len(results) == wanted else f" of {wanted}; --resume continues"
    ends = {"diverged": "diverged", "vanished": "whose gradient vanished"}
    failed = "".join(
        f", {count} {words}" for end, words in ends.items() if (count := _number(results, end))
    )
    say(f"{len(results)} networks{unfinished}{failed}; engine: {engine}")


def _number(results: list[Trained], status: str) -> int:
    """The number of networks with this status."""
    return sum(result.status == status for result in results)


def _table(setting: Setting, rows: list[Row]) -> Iterator[str]:
    """The lines of one setting's table."""
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
