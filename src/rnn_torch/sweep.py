"""python -m rnn_torch.sweep: train many networks and tell how many learn to add, and when."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import islice

from rnn_numpy.commands.terminal import check_outputs, command, complain, interruptible, progress
from rnn_numpy.storage.atomic_files import WeightsError
from rnn_numpy.training.many_networks import Keep, cores, train_many
from rnn_numpy.training.processes import Alone
from rnn_torch.many_networks import sweep_flags
from rnn_torch.many_networks.gather import Collection
from rnn_torch.many_networks.grid import Grid
from rnn_torch.many_networks.results import ResultsError, chosen, summary
from rnn_torch.many_networks.sweep_report import Pace, print_json, print_tables


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = sweep_flags.parser()
    flags = parser.parse_args(argv)
    try:
        recipes = sweep_flags.recipes_of(flags)
        engine = sweep_flags.engine_of(flags)
        keep = sweep_flags.keep_of(flags)
        check_outputs(flags, "out", "plot")
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
    recipes: Grid,
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
            missing = len(recipes) - len(collection.finished(recipes))
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
            from rnn_torch.many_networks.sweep_plot import sweep_plot

            try:
                sweep_plot(summary(results), flags.plot)
            except WeightsError as error:  # since it was asked
                complain(f"error: {error}")
                return 2
    if missing:
        return interrupted.exit_code if interrupted() else 128 + signal.SIGINT
    return 0


def _join() -> Alone:
    """The processes that torchrun started, or this one alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Alone()
    from rnn_torch.training.torchrun import Torchrun

    return Torchrun()


def _train(
    recipes: Grid,
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
    finished = collection.finished(recipes)
    # The first process speaks of its own share.
    done = len(finished) // ranks.world
    left = len(range(ranks.rank, len(recipes) - len(finished), ranks.world))
    threads = max(1, cores() // ranks.local_world)
    pace = Pace(left, complain, at_once=0 if engine == "batched" else threads)
    with progress(done + left, "network", done=done) as bar:

        def advance(networks: int | float) -> None:
            bar.update(networks)
            pace.update(networks)

        if engine == "batched":
            from rnn_torch.many_networks.stack_schedule import shared_out, train_batches

            batches = shared_out(recipes, finished, flags.at_once, keep, ranks)
            trained = train_batches(
                batches, flags.count_every, flags.device, keep=keep, stop=stop, say=complain,
                on_progress=advance, on_resumed=bar.update,
            )  # fmt: skip
        else:
            if keep is not None:
                for recipe in finished:
                    keep.forget(recipe)
            missing = (recipe for recipe in recipes if recipe not in finished)
            trained = train_many(
                islice(missing, ranks.rank, None, ranks.world), flags.count_every, engine,
                threads=threads, keep=keep, stop=stop, say=complain,
            )  # fmt: skip
        for result in trained:
            # Of a batch that was begun before, some may be finished, or not asked for.
            if result.recipe in recipes and result.recipe not in finished:
                collection.add(result)
            if engine != "batched":
                advance(1)
                if keep is not None:
                    keep.forget(result.recipe)


if __name__ == "__main__":
    sys.exit(main())
