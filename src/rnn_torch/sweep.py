"""python -m rnn_torch.sweep: train many networks and tell how many learn to add, and when."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

from rnn_numpy import native, terminal
from rnn_numpy.addition import MOST_BITS_EXHAUSTIVE
from rnn_numpy.files import WeightsError, check_writable
from rnn_numpy.many import Trained, train_many
from rnn_numpy.recipe import Recipe
from rnn_numpy.terminal import interruptible, progress, say
from rnn_torch.results import Journal, ResultsError, Row, Setting, chosen, summary

DESCRIPTION = """\
Train a network for every combination of the seeds, hidden units, bits and learning rates given, and
count the exact sums of each on the way. Ctrl-C lets the networks in training end and keeps all that
have; the same command with --resume goes on from there."""

EXIT_CODES = "exit codes: 0 all are trained; 2 bad input; 130 stopped by Ctrl-C, --resume goes on."


def seeds(text: str) -> range:
    """A seed, or a range of them as Python slices have it: 0:1000 is 0 to 999.

    Raises:
        ValueError: anything else, or an empty range.
    """
    first, colon, end = text.partition(":")
    result = range(int(first or 0), int(end)) if colon else range(int(first), int(first) + 1)
    if not result:
        raise ValueError(text)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    default = Recipe()
    parser = terminal.parser("rnn_torch.sweep", DESCRIPTION, EXIT_CODES)
    add = parser.add_argument
    add("--seeds", type=seeds, nargs="+", default=[range(100)], metavar="SEED|FIRST:END",
        help="one or more, 0:1000 is 0 to 999 (0:100)")  # fmt: skip
    add("--hidden", type=int, nargs="+", default=[default.hidden], help="units (16)")
    add("--bits", type=int, nargs="+", default=[default.bits], help="in a sum (8)")
    add("--learning-rate", type=float, nargs="+", default=[default.learning_rate], help="(0.1)")
    add("--iterations", type=int, default=default.iterations, help="SGD steps (%(default)s)")
    add("--dtype", choices=["float32", "float64"], default=default.dtype, help="(%(default)s)")
    add("--count-every", type=int, default=1000, metavar="STEPS",
        help="count every network's exact sums (%(default)s)")  # fmt: skip
    add("--engine", choices=["compiled", "numpy", "batched"],
        help="compiled: a kernel, a network a core, needs numba, the extra `fast`; numpy: the same "
        "in NumPy; batched: all networks of a size at once, in torch. Left out: compiled on a "
        "CPU, batched elsewhere")  # fmt: skip
    add("--device", default="cpu", help="a torch device, for the batched engine (%(default)s)")
    add("--batch", type=int, default=4096, metavar="N",
        help="networks at once in the batched engine; a stop loses them (%(default)s)")  # fmt: skip
    add("--out", metavar="FILE", help="keep the results: .jsonl, .csv, or .parquet (pyarrow)")
    add("--resume", action="store_true", help="go on with an --out that was stopped")
    add("--plot", metavar="FILE.png", help="draw how many are exact at each step (matplotlib)")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    flags = parser.parse_args(argv)
    try:
        recipes = _recipes(flags)
        engine = _engine(flags)
        if engine == "batched":
            _check_device(flags)
            if max(flags.bits) > MOST_BITS_EXHAUSTIVE:
                raise ValueError(
                    f"--engine batched takes bits of at most {MOST_BITS_EXHAUSTIVE}, "
                    f"got {max(flags.bits)}"
                )
        if flags.plot is not None:
            check_writable(flags.plot)
        journal = Journal(flags.out, resume=flags.resume)
    except (ValueError, ResultsError, WeightsError) as error:
        parser.error(str(error))

    try:
        with interruptible() as interrupted:
            stopped = _train(recipes, engine, flags, journal, interrupted)
        if not stopped:
            journal.complete(recipes)
    except OSError as error:
        print(f"error: cannot write {flags.out}: {error.strerror}", file=sys.stderr)
        return 2
    except WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results = chosen(journal.results, recipes)
    _print(results, len(recipes), engine, flags)
    if flags.plot is not None and results:
        from rnn_torch.plots import sweep_plot

        sweep_plot(summary(results), flags.plot)
    return interrupted.exit_code if stopped else 0


def _recipes(flags: argparse.Namespace) -> list[Recipe]:
    if flags.count_every < 1:
        raise ValueError(f"--count-every must be at least 1, got {flags.count_every}")
    if flags.batch < 1:
        raise ValueError(f"--batch must be at least 1, got {flags.batch}")
    every_seed = [seed for some in flags.seeds for seed in some]
    settings = product(flags.hidden, flags.bits, flags.learning_rate)
    recipes = [
        Recipe(seed, bits, hidden, flags.iterations, rate, flags.dtype)
        for hidden, bits, rate in settings
        for seed in every_seed
    ]
    return list(dict.fromkeys(recipes))


def _engine(flags: argparse.Namespace) -> str:
    on_cpu = flags.device.split(":")[0] == "cpu"
    if flags.engine is None:
        return ("compiled" if native.available() else "numpy") if on_cpu else "batched"
    if flags.engine == "compiled" and not native.available():
        raise ValueError(f"--engine compiled needs numba: {native.INSTALL}")
    if flags.engine != "batched" and not on_cpu:
        raise ValueError(
            f"--engine {flags.engine} runs on the CPU, not on {flags.device}: batched?"
        )
    return str(flags.engine)


def _check_device(flags: argparse.Namespace) -> None:
    import torch

    try:
        torch.zeros(1, device=flags.device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {flags.device} cannot be used: {reason}") from error


def _train(
    recipes: list[Recipe],
    engine: str,
    flags: argparse.Namespace,
    journal: Journal,
    stop: Callable[[], bool],
) -> bool:
    """Train what is not in the journal yet; returns whether it was stopped before the end."""
    there = {result.recipe for result in journal.results}
    missing = [recipe for recipe in recipes if recipe not in there]
    with progress(len(recipes), "network", done=len(recipes) - len(missing)) as bar:
        if engine == "batched":
            trained = _in_batches(missing, flags, bar, stop)
        else:
            trained = train_many(missing, flags.count_every, engine, stop=stop)
        for result in trained:
            journal.add(result)
            if engine != "batched":
                bar.update()
    return len(chosen(journal.results, recipes)) < len(recipes)


def _in_batches(
    recipes: list[Recipe], flags: argparse.Namespace, bar: Any, stop: Callable[[], bool]
) -> Iterator[Trained]:
    from rnn_torch.batched import train_batch

    by_size: dict[tuple[int, int], list[Recipe]] = {}
    for recipe in recipes:
        by_size.setdefault((recipe.hidden, recipe.bits), []).append(recipe)
    for some in by_size.values():
        for first in range(0, len(some), flags.batch):
            batch = some[first : first + flags.batch]
            for event in train_batch(batch, flags.count_every, flags.device):
                if stop():
                    return
                if isinstance(event, list):
                    yield from event
                else:
                    bar.update(len(batch) * event / max(1, flags.iterations))


def _print(results: list[Trained], wanted: int, engine: str, flags: argparse.Namespace) -> None:
    tables = summary(results)
    diverged = sum(result.status == "diverged" for result in results)
    if flags.json:
        document = {
            "networks": len(results),
            "wanted": wanted,
            "diverged": diverged,
            "engine": engine,
            "out": flags.out,
            "settings": [
                {"setting": dict(setting), "rows": [asdict(row) for row in rows]}
                for setting, rows in tables.items()
            ],
        }
        say(json.dumps(document, allow_nan=False))
        return
    for setting, rows in tables.items():
        say("\n".join(_table(setting, rows)))
    unfinished = "" if len(results) == wanted else f" of {wanted}; --resume goes on"
    say(
        f"{len(results)} networks{unfinished}"
        + (f", {diverged} diverged" if diverged else "")
        + f"; engine: {engine}"
    )


def _table(setting: Setting, rows: list[Row]) -> Iterator[str]:
    named = dict(setting)
    yield (
        f"{named['bits']} bits, {named['hidden']} hidden units, learning rate "
        f"{named['learning_rate']:g}, {named['dtype']}: exact sums of {rows[0].tried}"
    )
    yield f"{'step':>8}{'networks exact':>18}{'median':>12}{'worst':>10}"
    for row in rows:
        exact = f"{row.exact} of {row.networks}"
        yield f"{row.step:8}{exact:>18}{row.median:12.0f}{row.worst:10}"


if __name__ == "__main__":
    sys.exit(main())
