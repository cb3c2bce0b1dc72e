"""The results of a sweep as tables, as JSON and as a picture (which needs matplotlib)."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bptt_check.commands.pictures import save
from bptt_check.commands.terminal import say
from rnn_numpy.training.many import Trained

_WORDS = {
    "bits": "{} bits",
    "hidden": "{} hidden units",
    "iterations": "{} steps",
    "learning_rate": "learning rate {:g}",
    "dtype": "{}",
    "batch_size": "{} examples a step",
}


def summary(results: Iterable[Trained]) -> list[dict[str, Any]]:
    """For each setting, a row for each counted step: how many networks get all sums right.

    `median` and `worst` are the networks' numbers of right sums. A network that diverged counts as
    having no right sum from that step on.
    """
    alike: dict[tuple[tuple[str, Any], ...], list[Trained]] = {}
    for each in results:
        setting = {name: value for name, value in asdict(each.recipe).items() if name != "seed"}
        alike.setdefault(tuple(setting.items()), []).append(each)
    return [
        {"setting": dict(setting), "rows": list(_rows(some))} for setting, some in alike.items()
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
    document = {
        "networks": len(results),
        "wanted": wanted,
        "diverged": ends["diverged"],
        "vanished": ends["vanished"],
        "engine": engine,
        "out": out and str(out),
        "settings": summary(results),
    }
    say(json.dumps(document, allow_nan=False))


def print_tables(results: Sequence[Trained]) -> None:
    """Print a table for each setting."""
    for table in summary(results):
        setting, rows = table["setting"], table["rows"]
        names = ["bits", "hidden", "learning_rate", "dtype"]
        names += ["batch_size"] * (setting["batch_size"] > 1)
        sums = f"exact sums of {rows[0]['tried']}" if rows else "all diverged"
        say(", ".join(_WORDS[name].format(setting[name]) for name in names) + f": {sums}")
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


def sweep_plot(results: Iterable[Trained], file: str | Path) -> None:
    """Draw a line for each setting: the per cent of exact networks after each counted step.

    Raises:
        WeightsError: the file cannot be written.
        ValueError: matplotlib does not know the file's suffix.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    tables = summary(results)
    # The title has the values that all settings share; the legend has the others.
    common = dict(set.intersection(*(set(table["setting"].items()) for table in tables)))
    for table in tables:
        own = ", ".join(
            _WORDS[name].format(value)
            for name, value in table["setting"].items()
            if name not in common
        )
        steps = [0, *(row["step"] for row in table["rows"])]
        share = [0.0, *(100 * row["exact"] / row["networks"] for row in table["rows"])]
        axes.plot(steps, share, marker="o", markersize=3, label=own or "all networks")
    axes.set(xlabel="SGD steps", ylabel="networks that get every sum right", ylim=(-2, 102))
    axes.yaxis.set_major_formatter(PercentFormatter())
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    title = ", ".join(_WORDS[name].format(common[name]) for name in _WORDS if name in common)
    axes.set_title(title, fontsize=10)
    save(figure, file)
