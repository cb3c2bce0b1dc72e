"""The flags of `rnn_torch.sweep`, and what they ask for."""

import argparse
from itertools import product
from pathlib import Path

from rnn_numpy.commands import terminal
from rnn_numpy.commands.train_checkpoints import checkpoint_every
from rnn_numpy.compiled import native
from rnn_numpy.storage.atomic_files import check_writable
from rnn_numpy.storage.checkpoint_folder import make_folder
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE
from rnn_numpy.training.many_networks import Keep
from rnn_numpy.training.recipe import Recipe
from rnn_torch.many_networks.grid import Grid

DESCRIPTION = """\
Train a network for every combination of the seeds and settings given, and count the exact sums of
each on the way. Ctrl-C lets the networks in training end (with --checkpoint: keeps them) and keeps
all that have; the same command with --resume goes on from there. Started by torchrun, the processes
share the networks; each keeps its results until the first collects them."""

EXIT_CODES = """\
exit codes: 0 all are trained; 2 bad input, or something could not be written; 130 stopped by
Ctrl-C, --resume goes on."""


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


def parser() -> argparse.ArgumentParser:
    """The flags; the defaults are the recipe, for a hundred seeds."""
    default = Recipe()
    result = terminal.parser("rnn_torch.sweep", DESCRIPTION, EXIT_CODES)
    add = result.add_argument
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
        help="networks at once in the batched engine; without --checkpoint a stop loses them "
        "(%(default)s)")  # fmt: skip
    add("--out", metavar="FILE", help="keep the results: .jsonl, .csv, or .parquet (pyarrow)")
    add("--checkpoint", metavar="DIR",
        help="with --out: keep networks in training, too, for those that take long")  # fmt: skip
    add("--checkpoint-every", type=int, metavar="STEPS", help="so often (1000)")
    add("--resume", action="store_true", help="go on with an --out that was stopped")
    add("--plot", metavar="FILE.png", help="draw how many are exact at each step (matplotlib)")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    return result


def keep_of(flags: argparse.Namespace) -> Keep | None:
    """Where networks in training are kept, if that was asked for; ValueError as `recipes_of`."""
    every = checkpoint_every(flags)
    if flags.out is None and (flags.resume or every is not None):
        given = "--resume" if flags.resume else "--checkpoint DIR"
        raise ValueError(f"{given} goes with --out FILE")
    if every is None:
        return None
    keep = Keep(Path(flags.checkpoint), every)
    make_folder(keep.path)
    check_writable(keep.path / "network")
    return keep


def recipes_of(flags: argparse.Namespace) -> Grid:
    """Every combination of the seeds and settings; ValueError for flags that are wrong."""
    if flags.count_every < 1:
        raise ValueError(f"--count-every must be at least 1, got {flags.count_every}")
    if flags.at_once < 1:
        raise ValueError(f"--at-once must be at least 1, got {flags.at_once}")
    for some in flags.seeds:
        Recipe(seed=some[0]), Recipe(seed=some[-1])
    combined = product(flags.hidden, flags.bits, flags.learning_rate, flags.batch_size)
    settings = [
        Recipe(0, bits, hidden, flags.iterations, rate, flags.dtype, batch_size)
        for hidden, bits, rate, batch_size in combined
    ]
    return Grid(settings, flags.seeds)


def engine_of(flags: argparse.Namespace) -> str:
    """The engine asked for, or the one that fits the device; ValueError as `recipes_of`."""
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
