"""python -m rnn_torch.sweep: train many networks and tell how many learn to add, and when."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from rnn_numpy import native, terminal
from rnn_numpy.addition import MOST_BITS_EXHAUSTIVE
from rnn_numpy.files import WeightsError, check_writable
from rnn_numpy.keeper import checkpoint_every
from rnn_numpy.many import Keep, Trained, cores, train_many
from rnn_numpy.ranks import Alone
from rnn_numpy.recipe import Recipe
from rnn_numpy.terminal import complain, interruptible, progress
from rnn_torch.collection import Collection
from rnn_torch.results import ResultsError, chosen, summary
from rnn_torch.sweep_report import print_json, print_tables

DESCRIPTION = """\
Train a network for every combination of the seeds and settings given, and count the exact sums of
each on the way. Ctrl-C lets the networks in training end (with --checkpoint: keeps them) and keeps
all that have; the same command with --resume goes on from there. Started by torchrun, the processes
share the networks; each keeps its results until the first collects them."""

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
    add("--batch-size", type=int, nargs="+", default=[default.batch_size], metavar="N",
        help="examples a step, their gradients added up (1)")  # fmt: skip
    add("--iterations", type=int, default=default.iterations, help="SGD steps (%(default)s)")
    add("--dtype", choices=["float32", "float64"], default=default.dtype, help="(%(default)s)")
    add("--count-every", type=int, default=1000, metavar="STEPS",
        help="count every network's exact sums (%(default)s)")  # fmt: skip
    add("--engine", choices=["compiled", "numpy", "batched"],
        help="compiled: a kernel, a network a core, needs numba, the extra `fast`; numpy: the same "
        "in NumPy; batched: all networks of a size at once, in torch. Left out: compiled on a "
        "CPU, batched elsewhere")  # fmt: skip
    add("--device", default="cpu", help="a torch device, for the batched engine (%(default)s)")
    add("--at-once", type=int, default=4096, metavar="N",
        help="networks at once in the batched engine; a stop loses them (%(default)s)")  # fmt: skip
    add("--out", metavar="FILE", help="keep the results: .jsonl, .csv, or .parquet (pyarrow)")
    add("--checkpoint", metavar="DIR",
        help="with --out: keep networks in training, too, for those that take long")  # fmt: skip
    add("--checkpoint-every", type=int, metavar="STEPS", help="so often (1000)")
    add("--resume", action="store_true", help="go on with an --out that was stopped")
    add("--plot", metavar="FILE.png", help="draw how many are exact at each step (matplotlib)")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    flags = parser.parse_args(argv)
    try:
        recipes = _recipes(flags)
        engine = _engine(flags)
        keep = _keep(flags, engine)
        if flags.plot is not None:
            check_writable(flags.plot)
    except (ValueError, WeightsError) as error:
        parser.error(str(error))
    ranks = _join()
    try:
        return _sweep(parser, flags, recipes, engine, keep, ranks)
    finally:
        ranks.leave()


def _sweep(
    parser: argparse.ArgumentParser,
    flags: argparse.Namespace,
    recipes: list[Recipe],
    engine: str,
    keep: Keep | None,
    ranks: Alone,
) -> int:
    """Train, collect and print; returns the exit code."""
    resume = flags.resume or ranks.restarted
    try:
        collection = Collection(flags.out, resume, ranks)
        if keep is not None and not resume and (there := next(keep.path.glob("*/step-*"), None)):
            raise ResultsError(f"{there.parent} is there already: --resume goes on with it")
    except ResultsError as error:
        parser.error(str(error))

    failure = ""
    with interruptible() as interrupted:
        try:
            _train(recipes, engine, flags, collection, keep, ranks, interrupted)
        except OSError as error:
            failure = f"cannot write {flags.out}: {error.strerror}"
        except ValueError as error:  # of checkpoints
            failure = str(error)
        failures = [reason for reason in ranks.together(lambda: failure) if reason]
        try:
            collection.collect()
            missing = collection.missing(recipes)
            if not missing:
                collection.complete(recipes)
        except OSError as error:
            failures.append(f"cannot write {flags.out}: {error.strerror}")
        except WeightsError as error:
            failures.append(str(error))
    if failures:
        complain(f"error: {failures[0]}")
        return 2
    if ranks.leads:
        results = chosen(collection.results, recipes)
        if flags.json:
            print_json(results, len(recipes), engine, flags.out)
        else:
            print_tables(results, len(recipes), engine)
        if flags.plot is not None and results:
            from rnn_torch.plots import sweep_plot

            sweep_plot(summary(results), flags.plot)
    if missing:
        return interrupted.exit_code if interrupted() else 128 + signal.SIGINT
    return 0


def _join() -> Alone:
    """The processes that torchrun started, or this one; torch is only imported for the former."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Alone()
    from rnn_torch.ranks import Torchrun

    return Torchrun()


def _keep(flags: argparse.Namespace, engine: str) -> Keep | None:
    every = checkpoint_every(flags)
    if every is None:
        return None
    if flags.out is None:
        raise ValueError("--checkpoint DIR goes with --out FILE")
    if engine == "batched":
        raise ValueError("--checkpoint is for the engines compiled and numpy, not for batched")
    return Keep(Path(flags.checkpoint), every)


def _recipes(flags: argparse.Namespace) -> list[Recipe]:
    if flags.count_every < 1:
        raise ValueError(f"--count-every must be at least 1, got {flags.count_every}")
    if flags.at_once < 1:
        raise ValueError(f"--at-once must be at least 1, got {flags.at_once}")
    every_seed = [seed for some in flags.seeds for seed in some]
    settings = product(flags.hidden, flags.bits, flags.learning_rate, flags.batch_size)
    recipes = [
        Recipe(seed, bits, hidden, flags.iterations, rate, flags.dtype, batch_size)
        for hidden, bits, rate, batch_size in settings
        for seed in every_seed
    ]
    return list(dict.fromkeys(recipes))


def _engine(flags: argparse.Namespace) -> str:
    on_cpu = flags.device.split(":")[0] == "cpu"
    engine = str(flags.engine)
    if flags.engine is None:
        engine = ("compiled" if native.available() else "numpy") if on_cpu else "batched"
    if engine == "compiled" and not native.available():
        raise ValueError(f"--engine compiled needs numba: {native.INSTALL}")
    if engine == "batched":
        _check_device(flags.device)
        if max(flags.bits) > MOST_BITS_EXHAUSTIVE:
            raise ValueError(
                f"--engine batched takes bits of at most {MOST_BITS_EXHAUSTIVE}, "
                f"got {max(flags.bits)}"
            )
    elif not on_cpu:
        raise ValueError(f"--engine {engine} runs on the CPU, not on {flags.device}: batched?")
    return engine


def _check_device(device: str) -> None:
    import torch

    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {device} cannot be used: {reason}") from error


def _train(
    recipes: list[Recipe],
    engine: str,
    flags: argparse.Namespace,
    collection: Collection,
    keep: Keep | None,
    ranks: Alone,
    stop: Callable[[], bool],
) -> None:
    """Train this process's share of the networks that have no result yet.

    Raises:
        OSError: a result could not be written.
        CheckpointError, WeightsError: a checkpoint could not be used or written.
    """
    missing = collection.missing(recipes)
    share = missing[ranks.rank :: ranks.world]
    if keep is not None:
        for recipe in set(recipes).difference(missing):
            keep.forget(recipe)
    # The first process speaks of its own share.
    done = (len(recipes) - len(missing)) // ranks.world
    with progress(done + len(share), "network", done=done) as bar:
        if engine == "batched":
            trained = _in_batches(share, flags, bar, stop)
        else:
            threads = max(1, cores() // ranks.local_world)
            trained = train_many(
                share, flags.count_every, engine,
                threads=threads, keep=keep, stop=stop, say=complain,
            )  # fmt: skip
        for result in trained:
            collection.add(result)
            if keep is not None:
                keep.forget(result.recipe)
            if engine != "batched":
                bar.update()


def _in_batches(
    recipes: list[Recipe], flags: argparse.Namespace, bar: Any, stop: Callable[[], bool]
) -> Iterator[Trained]:
    from rnn_torch.batched import train_batch

    by_size: dict[tuple[int, ...], list[Recipe]] = {}
    for recipe in recipes:
        size = (recipe.hidden, recipe.bits, recipe.batch_size)
        by_size.setdefault(size, []).append(recipe)
    for some in by_size.values():
        for first in range(0, len(some), flags.at_once):
            batch = some[first : first + flags.at_once]
            for event in train_batch(batch, flags.count_every, flags.device):
                if stop():
                    return
                if isinstance(event, list):
                    yield from event
                else:
                    bar.update(len(batch) * event / max(1, flags.iterations))


if __name__ == "__main__":
    sys.exit(main())
