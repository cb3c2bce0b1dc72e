"""python -m rnn_torch.sweep: train many networks and tell how many learn to add, and when."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rnn_numpy.files import WeightsError, check_writable
from rnn_numpy.many import Keep, Trained, cores, train_many
from rnn_numpy.ranks import Alone
from rnn_numpy.recipe import Recipe
from rnn_numpy.terminal import complain, interruptible, progress
from rnn_torch import sweep_flags
from rnn_torch.collection import Collection
from rnn_torch.results import ResultsError, chosen, summary
from rnn_torch.sweep_report import print_json, print_tables


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = sweep_flags.parser()
    flags = parser.parse_args(argv)
    try:
        recipes = sweep_flags.recipes_of(flags)
        engine = sweep_flags.engine_of(flags)
        keep = sweep_flags.keep_of(flags, engine)
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
