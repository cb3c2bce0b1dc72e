"""The flags of both `train` commands, and the recipe that they give."""

import argparse
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields

from bptt_check.commands import terminal
from bptt_check.commands.flag_types import NOT_NEGATIVE, POSITIVE, Integer, positive
from rnn_numpy.training.recipe import RANGES, Recipe

SEED = Integer(*RANGES["seed"])

EXIT_CODES = """\
exit codes: 0 trained, and proved if --until-proved was given; 1 the run diverged (--out gets the
last finite weights), the gradient vanished, a logged gradient was wrong, or the network was not
proved; 2 bad input, or an output could not be written; 130 stopped by Ctrl-C (--out gets the
weights learned until then)."""
EXAMPLES = (
    "--seed 1 --out adder.safetensors --plot learning.png",
    "--seed 1 --until-proved --out adder.safetensors",
)


def parser(program: str, description: str, engines: Mapping[str, str]) -> argparse.ArgumentParser:
    """The flags of both `train` commands, with these engines; the defaults are the recipe."""
    result = terminal.parser(program, description, EXIT_CODES, EXAMPLES)
    add = result.add_argument
    add("--seed", type=SEED, default=Recipe().seed,
        help="seed of weights and examples (%(default)s)")  # fmt: skip
    add_recipe(result, several=False)
    add("--log-every", type=POSITIVE, default=1000, metavar="STEPS",
        help="steps between two log lines (%(default)s)")  # fmt: skip
    add("--until-proved", action="store_true",
        help="after the iterations, train on until the network, as trained, is proved to add "
        "operands of every length")  # fmt: skip
    add("--max-iterations", type=NOT_NEGATIVE, metavar="N",
        help="with --until-proved: give up after N steps, those of --iterations included "
        "(200000, or --iterations if that is larger)")  # fmt: skip
    add("--out", metavar="FILE.safetensors", help="write U, W, V and the recipe to this file")
    add("--plot", metavar="FILE.png",
        help="draw loss and exact sums at the logged steps and, below, the hidden states by carry "
        "(needs matplotlib)")  # fmt: skip
    add("--checkpoint", metavar="FILE",
        help="write a checkpoint for --resume to this file, during the training and when it is "
        "stopped")  # fmt: skip
    add("--checkpoint-every", type=POSITIVE, metavar="STEPS",
        help="steps between two checkpoints (1000)")  # fmt: skip
    add("--resume", action="store_true",
        help="continue, bit for bit, from --checkpoint FILE; start from the beginning if there is "
        "none")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end, instead of the log")
    listed = "; ".join(f"{name}: {text}" for name, text in engines.items())
    add("--engine", choices=list(engines),
        help=f"what computes the gradients; all engines learn the same weights. {listed}. "
        "Default: the first of these that is installed and suits the network's size")  # fmt: skip
    return result


def add_recipe(parser: argparse.ArgumentParser, *, several: bool) -> None:
    """The flags of a recipe but its seed; in a sweep, most take `several` values."""
    for name, metavar, text in (
        ("bits", "N", "bits in a sum, 1 to 64"),
        ("hidden", "N", "number of hidden units"),
        ("batch_size", "N", "examples in each SGD step; their gradients are summed"),
        ("learning_rate", "RATE", "step size of SGD"),
        ("iterations", "N", "number of SGD steps"),
    ):
        default, many = getattr(Recipe(), name), several and name != "iterations"
        parser.add_argument(
            f"--{name.replace('_', '-')}", metavar=metavar, nargs="+" if many else None,
            type=Integer(*RANGES[name]) if name in RANGES else positive,
            default=[default] if many else default, help=f"{text} ({default})",
        )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=["float32", "float64"], default=Recipe().dtype,
        help="floating-point type of weights and gradients (%(default)s)",
    )  # fmt: skip


def recipe_of(arguments: argparse.ArgumentParser, flags: argparse.Namespace) -> Recipe:
    """The recipe that the flags ask for; ends the command if a combination is invalid."""
    recipe = Recipe(**{field.name: getattr(flags, field.name) for field in fields(Recipe)})
    for other, needed, names in (
        ("until_proved", "--until-proved", ("max_iterations",)),
        ("checkpoint", "--checkpoint FILE", ("resume", "checkpoint_every")),
    ):
        for name in names:
            given = getattr(flags, name)
            if given is not None and given is not False and not getattr(flags, other):
                arguments.error(f"--{name.replace('_', '-')} needs {needed}")
    if flags.max_iterations is None:
        flags.max_iterations = max(200_000, recipe.iterations)
    if flags.max_iterations < recipe.iterations:
        arguments.error(
            f"--max-iterations must be at least the iterations, {recipe.iterations}, "
            f"got {flags.max_iterations}"
        )
    if flags.checkpoint and flags.checkpoint_every is None:
        flags.checkpoint_every = 1000
    if os.environ.get("WORLD_SIZE", "1") != "1":
        arguments.error("one training runs in one process, not under torchrun: sweep trains many")
    return recipe


def seeds(text: str) -> range:
    """A seed, or a range of seeds in the form of a Python slice: 0:1000 is 0 to 999."""
    first, colon, end = text.partition(":")
    with suppress(ValueError, argparse.ArgumentTypeError):
        begin = SEED(first or "0") if colon else SEED(first)
        found = range(begin, SEED(str(int(end) - 1)) + 1 if colon else begin + 1)
        if found:
            return found
    raise argparse.ArgumentTypeError(
        f"must be a seed from {SEED.least} to {SEED.most}, or a range of them such as 0:1000, "
        f"got {text or 'nothing'}"
    )
