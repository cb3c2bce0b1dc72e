"""python -m rnn_torch.sweep: train many networks; count how many learn to add, and when."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice

from rnn_numpy.commands.terminal import check_outputs, command, complain, interruptible, progress
from rnn_numpy.storage.atomic_files import WeightsError
from rnn_numpy.training.many_networks import Keep, cores, train_many
from rnn_numpy.training.processes import Processes
from rnn_torch.many_networks import sweep_flags
from rnn_torch.many_networks.gather import Collection
from rnn_torch.many_networks.grid import Grid
from rnn_torch.many_networks.journal import refuse_existing
from rnn_torch.many_networks.stack_schedule import shared_out, train_batches
from rnn_torch.many_networks.sweep_plot import sweep_plot
from rnn_torch.many_networks.sweep_report import Pace, print_json, print_tables
from rnn_torch.many_networks.tables import summary
from rnn_torch.training.torchrun import join


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = sweep_flags.parser()
    flags = parser.parse_args(argv)
    with closing(join()) as processes:
        return _sweep(parser, flags, processes)


def _sweep(parser: argparse.ArgumentParser, flags: argparse.Namespace, processes: Processes) -> int:
    """Train, collect and print; returns the exit code."""
    resume = flags.resume or processes.restarted
    try:
        with processes.failing_together():
            recipes = sweep_flags.recipes_of(flags)
            engine = sweep_flags.engine_of(flags)
            keep = sweep_flags.keep_of(flags)
            check_outputs(flags, "out", "plot")
        collection = Collection(flags.out, resume, recipes, processes)
        with processes.failing_together():
            for checkpoint in keep.path.glob("*/step-*") if keep and not resume else ():
                refuse_existing(checkpoint.parent, resume)
    except (ValueError, OSError) as error:
        parser.error(str(error))

    failures = []
    with interruptible() as interrupted:
        try:
            with processes.failing_together():
                _train(recipes, engine, flags, collection, keep, processes, interrupted)
        except (ValueError, OSError) as error:
            failures.append(str(error))
        try:
            missing = collection.collect()
        except (ValueError, OSError) as error:
            failures.append(str(error))
    if failures:
        complain(f"error: {failures[0]}")
        return 2
    if processes.leads():
        results = collection.results
        if flags.json:
            print_json(results, len(recipes), engine, flags.out)
        else:
            print_tables(results, len(recipes), engine)
        if flags.plot is not None and results:
            try:
                sweep_plot(summary(results), flags.plot)
            except WeightsError as error:  # the file was writable when the sweep began
                complain(f"error: {error}")
                return 2
    if missing:
        return interrupted.exit_code if interrupted() else 128 + signal.SIGINT
    return 0


def _train(
    recipes: Grid,
    engine: str,
    flags: argparse.Namespace,
    collection: Collection,
    keep: Keep | None,
    processes: Processes,
    stop: Callable[[], bool],
) -> None:
    """Train this process's share of the networks that have no result yet.

    Raises:
        ResultsError: a result could not be written.
        CheckpointError, WeightsError: a checkpoint could not be used or written.
    """
    finished = collection.finished
    # The first process shows the progress of its own share.
    done = len(finished) // processes.world
    left = len(range(processes.rank, len(recipes) - len(finished), processes.world))
    threads = max(1, cores() // processes.local_world)
    pace = Pace(left, complain, at_once=0 if engine == "batched" else threads)
    with progress(done + left, "network", done=done) as bar:

        def advance(networks: int | float) -> None:
            bar.update(networks)
            pace.update(networks)

        if engine == "batched":
            batches = shared_out(recipes, finished, flags.at_once, keep, processes)
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
                islice(missing, processes.rank, None, processes.world), flags.count_every, engine,
                threads=threads, keep=keep, stop=stop, say=complain,
            )  # fmt: skip
        for result in trained:
            # A resumed batch may contain networks that have a result or are not in this sweep.
            if result.recipe in recipes and result.recipe not in finished:
                collection.add(result)
            if engine != "batched":
                advance(1)
                if keep is not None:
                    keep.forget(result.recipe)


if __name__ == "__main__":
    sys.exit(main())
