"""The results of a sweep as tables and as JSON."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bptt_check.commands.terminal import say
from rnn_numpy.training.many import Trained
from rnn_numpy.training.recipe import Recipe


def summary(results: Iterable[Trained]) -> list[dict[str, Any]]:
    """For each setting, a row for each counted step: how many networks get all sums right.

    `median` and `worst` are the networks' numbers of right sums. A network that diverged counts as
    having no right sum from that step on.
    """
    alike: dict[Recipe, list[Trained]] = {}
    for each in results:
        alike.setdefault(replace(each.recipe, seed=0), []).append(each)
    return [
        {
            "setting": {name: x for name, x in asdict(setting).items() if name != "seed"},
            "rows": list(_rows(some)),
        }
        for setting, some in alike.items()
    ]


def _rows(results: Sequence[Trained]) -> Iterator[dict[str, Any]]:
    tried = max(each.tried for each in results)
    counts = [dict(zip(each.steps, each.exact, strict=True)) for each in results]
    for step in sorted(set().union(*counts)):
        exact = [counted.get(step, 0) for counted in counts]
        yield {
            "step": step,
            "networks": len(exact),
            "exact": sum(right == tried for right in exact),
            "median": statistics.median(exact),
            "worst": min(exact),
            "tried": tried,
        }


def print_json(results: Sequence[Trained], wanted: int, engine: str, out: Path | None) -> None:
    """Print the summary as one JSON object on one line; `wanted` networks are in the sweep."""
    ends = Counter(each.status for each in results)
    document: dict[str, Any] = {"networks": len(results), "wanted": wanted}
    document |= {end: ends[end] for end in ("diverged", "vanished")}
    document |= {"engine": engine, "out": out and str(out), "settings": summary(results)}
    say(json.dumps(document, allow_nan=False))


def print_tables(results: Sequence[Trained]) -> None:
    """Print a table for each setting."""
    for table in summary(results):
        recipe, rows = Recipe(**table["setting"]), table["rows"]
        sums = f"exact sums of {rows[0]['tried']}" if rows else "all diverged"
        batch = f", {recipe.batch_size} examples a step" if recipe.batch_size > 1 else ""
        say(
            f"{recipe.bits} bits, {recipe.hidden} hidden units, learning rate "
            f"{recipe.learning_rate:g}, {recipe.dtype}{batch}: {sums}"
        )
        say(f"{'step':>8}{'networks exact':>18}{'median':>12}{'worst':>10}")
        for row in rows:
            exact = f"{row['exact']} of {row['networks']}"
            say(f"{row['step']:8}{exact:>18}{row['median']:12.0f}{row['worst']:10}")


def headline(results: Sequence[Trained], wanted: int, engine: str) -> str:
    """How many networks are trained, of `wanted` in the sweep, and how they ended."""
    ends: Counter[str] = Counter(each.status for each in results)
    unfinished = "" if len(results) == wanted else f" of {wanted}; --resume continues"
    words = {"diverged": "diverged", "vanished": "whose gradient vanished"}
    failed = "".join(f", {ends[end]} {word}" for end, word in words.items() if ends[end])
    return f"{len(results)} networks{unfinished}{failed}; engine: {engine}"
