"""The flags of `rnn_torch.sweep`, and the networks and engine that they ask for."""

import argparse
from itertools import product
from pathlib import Path

import torch

from rnn_numpy.commands import flag_types, terminal
from rnn_numpy.commands.train_flags import checkpoint_every
from rnn_numpy.compiled import native
from rnn_numpy.storage.atomic_files import check_writable
from rnn_numpy.storage.checkpoint_folder import make_folder
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE
from rnn_numpy.training.many_networks import Keep
from rnn_numpy.training.recipe import Recipe
from rnn_torch.many_networks.grid import Grid

DESCRIPTION = """\
Train a network for every combination of the seeds and settings given, and count how many sums each
network gets exactly right during the training. Ctrl-C waits for the networks in training (with
--checkpoint it writes checkpoints of them instead) and keeps all results; the same command with
--resume continues. Under torchrun the processes share the networks; each process writes its own
results, and the first collects them at the end."""

EXIT_CODES = """\
exit codes: 0 all networks are trained; 2 bad input, or an output could not be written; 130 stopped
by Ctrl-C (--resume continues)."""
EXAMPLES = ("--seeds 0:20 --plot learning.png", "--seeds 0:10 --hidden 8 16 --out networks.csv")


def parser() -> argparse.ArgumentParser:
    """The flags; the defaults are the recipe, for a hundred seeds."""
    default = Recipe()
    result = terminal.parser("rnn_torch.sweep", DESCRIPTION, EXIT_CODES, EXAMPLES)
    add = result.add_argument
    add("--seeds", type=flag_types.seeds, nargs="+", default=[range(100)], metavar="SEED|FIRST:END",
        help="seeds, or ranges of seeds: 0:1000 is 0 to 999 (0:100)")  # fmt: skip
    add("--hidden", type=flag_types.HIDDEN, nargs="+", default=[default.hidden], metavar="N",
        help="numbers of hidden units (16)")  # fmt: skip
    add("--bits", type=flag_types.BITS, nargs="+", default=[default.bits], metavar="N",
        help="bits in a sum (8)")  # fmt: skip
    add("--learning-rate", type=flag_types.positive, nargs="+", metavar="RATE",
        default=[default.learning_rate], help="step sizes of SGD (0.1)")  # fmt: skip
    add("--batch-size", type=flag_types.BATCH_SIZE, nargs="+", metavar="N",
        default=[default.batch_size],
        help="examples in each SGD step; their gradients are summed (1)")  # fmt: skip
    add("--iterations", type=flag_types.ITERATIONS, default=default.iterations, metavar="N",
        help="number of SGD steps (%(default)s)")  # fmt: skip
    add("--dtype", choices=["float32", "float64"], default=default.dtype,
        help="floating-point type of weights and gradients (%(default)s)")  # fmt: skip
    add("--count-every", type=flag_types.POSITIVE, default=1000, metavar="STEPS",
        help="steps between two counts of a network's exact sums (%(default)s)")  # fmt: skip
    add("--engine", choices=["compiled", "numpy", "batched"],
        help="compiled: one network on each core, in a compiled kernel; numpy: the same loop in "
        "NumPy; batched: all networks of one size together, in torch. Default: on a CPU compiled, "
        "or numpy where the kernels are not built; elsewhere batched")  # fmt: skip
    add("--device", default="cpu", help="torch device of the batched engine (%(default)s)")
    add("--at-once", type=flag_types.POSITIVE, default=4096, metavar="N",
        help="most networks that the batched engine trains together; without --checkpoint they are "
        "lost when it is stopped (%(default)s)")  # fmt: skip
    add("--out", metavar="FILE",
        help="write the results to FILE: .jsonl, .csv or .parquet (needs pyarrow)")  # fmt: skip
    add("--checkpoint", metavar="DIR",
        help="with --out: write checkpoints of unfinished networks to this folder; worth it where "
        "one network takes minutes")  # fmt: skip
    add("--checkpoint-every", type=flag_types.POSITIVE, metavar="STEPS",
        help="steps between two checkpoints (1000)")  # fmt: skip
    add("--resume", action="store_true",
        help="continue a stopped sweep: train only what is missing in --out FILE")  # fmt: skip
    add("--plot", metavar="FILE.png",
        help="draw the number of exact networks against the steps (needs matplotlib)")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object instead of tables")
    return result


def keep_of(flags: argparse.Namespace) -> Keep | None:
    """The folder for checkpoints, which is made; None without --checkpoint.

    Raises:
        ValueError: a flag needs another one, or the folder cannot be written.
    """
    every = checkpoint_every(flags)
    if flags.out is None and (flags.resume or every is not None):
        given = "--resume" if flags.resume else "--checkpoint DIR"
        raise ValueError(f"{given} needs --out FILE")
    if every is None:
        return None
    keep = Keep(Path(flags.checkpoint), every)
    make_folder(keep.path)
    check_writable(keep.path / "network")
    return keep


def recipes_of(flags: argparse.Namespace) -> Grid:
    """The networks: every combination of the seeds and settings."""
    combined = product(flags.hidden, flags.bits, flags.learning_rate, flags.batch_size)
    settings = [
        Recipe(0, bits, hidden, flags.iterations, rate, flags.dtype, batch_size)
        for hidden, bits, rate, batch_size in combined
    ]
    return Grid(settings, flags.seeds)


def engine_of(flags: argparse.Namespace) -> str:
    """The engine that the flags name, or the one that fits the device.

    Raises:
        ValueError: this engine cannot run here, on this device, or with these bits.
    """
    on_cpu = flags.device.split(":")[0] == "cpu"
    engine = str(flags.engine)
    if flags.engine is None:
        engine = ("compiled" if native.available() else "numpy") if on_cpu else "batched"
    if engine == "compiled" and not native.available():
        raise ValueError(f"--engine compiled is not built: {native.INSTALL}")
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
    """Raise ValueError unless torch can use the device."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {device} cannot be used: {reason}") from error
