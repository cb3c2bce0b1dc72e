"""python -m rnn_torch.sweep: train many networks; count how many learn to add, and when."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from bptt_check.commands import terminal
from bptt_check.commands.atomic_files import WeightsError
from bptt_check.commands.flag_types import POSITIVE
from rnn_numpy.commands.sweep_report import headline, print_json, print_tables
from rnn_numpy.commands.train_flags import add_recipe, seeds
from rnn_numpy.training.many import Results, ResultsError, Trained, cores, train_many
from rnn_numpy.training.recipe import Recipe
from rnn_numpy.training.sgd import choose

DESCRIPTION = """\
Train a network for every combination of the seeds and settings given, and count how many sums each
network gets exactly right during the training. Ctrl-C waits for the networks in training and keeps
all results; the same command with --resume continues. Where RANK and WORLD_SIZE are set (torchrun)
or SLURM_PROCID and SLURM_NTASKS (srun), each process trains its share of the seeds and writes
FILE.RANK; `cat FILE.* > FILE` joins them, and --resume then prints the tables of all."""

EXIT_CODES = """\
exit codes: 0 all networks are trained; 2 bad input, or an output could not be written; 130 stopped
by Ctrl-C (--resume continues)."""
EXAMPLES = ("--seeds 0:20", "--seeds 0:10 --hidden 8 16 --out networks.jsonl")


def parser() -> argparse.ArgumentParser:
    """The flags; the defaults are the recipe, for a hundred seeds."""
    result = terminal.parser("rnn_torch.sweep", DESCRIPTION, EXIT_CODES, EXAMPLES)
    add = result.add_argument
    add("--seeds", type=seeds, nargs="+", default=[range(100)], metavar="SEED|FIRST:END",
        help="seeds, or ranges of seeds: 0:1000 is 0 to 999 (0:100)")  # fmt: skip
    add_recipe(result, several=True)
    add("--count-every", type=POSITIVE, default=1000, metavar="STEPS",
        help="steps between two counts of a network's exact sums (%(default)s)")  # fmt: skip
    add("--engine", choices=["compiled", "numpy"],
        help="compiled: one network on each core, in a compiled kernel; numpy: the same loop in "
        "NumPy. Default: as for train")  # fmt: skip
    add("--out", metavar="FILE.jsonl",
        help="append the result of each network to this file, a line of JSON")  # fmt: skip
    add("--resume", action="store_true",
        help="continue a stopped sweep: train only what is missing in --out FILE")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object instead of tables")
    return result


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = parser()
    flags = arguments.parse_args(argv)
    with terminal.bad_input(arguments):
        terminal.check_outputs(flags, "out")
        rank, world = process_of(os.environ)
        out = out_of(flags, rank, world)
        engine = " and ".join(dict.fromkeys(choose(flags.engine, h).name for h in flags.hidden))
        settings = settings_of(flags)
        results = Results(out, settings, flags.count_every, resume=flags.resume)
    mine = share(flags.seeds, rank, world)
    wanted = len(settings) * sum(map(len, mine))
    try:
        with terminal.interruptible() as stopped:
            trained = _train(flags, results, settings, mine, stopped)
            if len(trained) == wanted:
                results.complete()
    except (ResultsError, WeightsError) as error:
        terminal.complain(f"error: {error}")
        return 2
    if flags.json:
        print_json(trained, wanted, engine, out)
    else:
        if world == 1:
            print_tables(trained)
        among = "" if world == 1 else f"process {rank} of {world}: "
        terminal.say(among + headline(trained, wanted, engine))
    if len(trained) < wanted:
        return stopped.exit_code if stopped() else 128 + signal.SIGINT
    return 0


def _train(
    flags: argparse.Namespace,
    results: Results,
    settings: Collection[Recipe],
    seeds: Sequence[range],
    stop: Callable[[], bool],
) -> list[Trained]:
    """Train the networks that have no result; returns the results of all of these seeds."""

    def ours() -> list[Trained]:
        return [each for each in results.in_order() if any(each.recipe.seed in s for s in seeds)]

    recipes = (replace(each, seed=seed) for each in settings for some in seeds for seed in some)
    missing = (recipe for recipe in recipes if recipe not in results.trained)
    threads = max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    total, every = len(settings) * sum(map(len, seeds)), flags.count_every
    with terminal.progress(total, "network", done=len(ours())) as bar:
        for trained in train_many(missing, every, flags.engine, threads=threads, stop=stop):
            results.add(trained)
            bar.update(1)
    return ours()


def settings_of(flags: argparse.Namespace) -> dict[Recipe, None]:
    """Every combination of the settings, in order, with seed 0."""
    combined = product(flags.hidden, flags.bits, flags.learning_rate, flags.batch_size)
    return dict.fromkeys(
        Recipe(0, bits, hidden, flags.iterations, rate, flags.dtype, batch_size)
        for hidden, bits, rate, batch_size in combined
    )


def process_of(environment: Mapping[str, str]) -> tuple[int, int]:
    """This process's number and the number of processes, as torchrun or SLURM sets them."""
    for names in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if all(name in environment for name in names):
            rank, world = (int(environment[name]) for name in names)
            if not 0 <= rank < world:
                raise ValueError(
                    f"{names[0]} must be from 0 to {names[1]} - 1, got {rank}, {world}"
                )
            return rank, world
    return 0, 1


def out_of(flags: argparse.Namespace, rank: int, world: int) -> Path | None:
    """The file that this process writes; ValueError if one is needed, or it is of another kind."""
    if flags.out is None:
        if flags.resume:
            raise ValueError("--resume needs --out FILE")
        if world > 1:
            raise ValueError(f"a sweep in {world} processes needs --out FILE")
        return None
    if not flags.out.endswith(".jsonl"):
        raise ValueError(f"--out {flags.out} must end in .jsonl: it gets a line of JSON a network")
    if world == 1:
        return Path(flags.out)
    return Path(f"{flags.out}.{rank}")


def share(seeds: Sequence[range], rank: int, world: int) -> list[range]:
    """This process's seeds of these ranges: each seed once, in order, every `world`-th."""
    merged: list[range] = []
    for some in sorted(seeds, key=lambda some: some.start):
        if merged and some.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, some.stop))
        else:
            merged.append(some)
    before, mine = 0, []
    for some in merged:
        mine.append(some[(rank - before) % world :: world])
        before += len(some)
    return mine


if __name__ == "__main__":
    sys.exit(main())
