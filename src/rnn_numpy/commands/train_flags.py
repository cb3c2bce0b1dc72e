"""The flags of both `train` commands, and what they make of a recipe."""

import argparse
from collections.abc import Mapping
from dataclasses import fields

from rnn_numpy.commands import terminal
from rnn_numpy.elman_network.checks import check_state_bits
from rnn_numpy.training.recipe import Recipe

EXIT_CODES = """\
exit codes: 0 trained, and proved if that was asked; 1 diverged (the last finite weights are kept),
the gradient vanished, a gradient was wrong, or it could not be proved; 2 bad input, or something
could not be written; 130 stopped by Ctrl-C (what was learned is kept)."""


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """The flags of both `train` commands; the defaults are the recipe."""
    default = Recipe()
    result = terminal.parser(program, description, EXIT_CODES)
    add = result.add_argument
    add("--seed", type=int, default=default.seed, help="of weights and examples (%(default)s)")
    add("--bits", type=int, default=default.bits, help="in a sum, 1 to 64 (%(default)s)")
    add("--hidden", type=int, default=default.hidden, help="hidden units (%(default)s)")
    add("--iterations", type=int, default=default.iterations, help="SGD steps (%(default)s)")
    add("--batch-size", type=int, default=default.batch_size, metavar="N",
        help="examples a step, their gradients added up (%(default)s)")  # fmt: skip
    add("--learning-rate", type=float, default=default.learning_rate, help="(%(default)s)")
    add("--dtype", choices=["float32", "float64"], default=default.dtype, help="(%(default)s)")
    add("--log-every", type=int, default=1000, metavar="STEPS", help="a log line (%(default)s)")
    add("--until-proved", action="store_true",
        help="go on after the iterations, on the sums that go wrong, until the network is proved "
        "to add operands of every length")  # fmt: skip
    add("--state-bits", type=int, metavar="B",
        help="the proof is for a state rounded to multiples of 2^-B, 1 to 16 (5)")  # fmt: skip
    add("--max-iterations", type=int, metavar="N",
        help="the most SGD steps in all until it is proved (200000)")  # fmt: skip
    add("--out", metavar="FILE.safetensors", help="write U, W, V and the recipe here")
    add("--checkpoint", metavar="DIR",
        help="keep in this folder, on the way and when stopped, what --resume needs")  # fmt: skip
    add("--checkpoint-every", type=int, metavar="STEPS", help="so often (1000)")
    add("--resume", action="store_true",
        help="go on from the newest whole checkpoint in DIR, bit for bit; from the beginning if "
        "there is none")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end, and no log")
    return result


def add_engines(arguments: argparse.ArgumentParser, engines: Mapping[str, str]) -> None:
    """The flag --engine; `engines` says of each what it is."""
    listed = "; ".join(f"{name}: {what}" for name, what in engines.items())
    arguments.add_argument(
        "--engine",
        choices=list(engines),
        help=f"what computes the gradients; the weights are the same. {listed}. "
        "Left out: the first that is to be had and fits the size",
    )


def recipe_of(arguments: argparse.ArgumentParser, flags: argparse.Namespace) -> Recipe:
    """The recipe that the flags ask for; ends the command where they are wrong together."""
    try:
        recipe = Recipe(**{field.name: getattr(flags, field.name) for field in fields(Recipe)})
    except ValueError as error:
        name, rest = str(error).split(" ", 1)
        arguments.error(f"--{name.replace('_', '-')} {rest}")
    if flags.log_every < 1:
        arguments.error(f"--log-every must be at least 1, got {flags.log_every}")
    _check_proof(arguments, flags, recipe)
    return recipe


def _check_proof(
    arguments: argparse.ArgumentParser, flags: argparse.Namespace, recipe: Recipe
) -> None:
    """The flags that go with --until-proved: refuse them without it, fill them in with it."""
    if not flags.until_proved:
        for name in ("state_bits", "max_iterations"):
            if getattr(flags, name) is not None:
                arguments.error(f"--{name.replace('_', '-')} goes with --until-proved")
        return
    if flags.state_bits is None:
        flags.state_bits = 5
    if flags.max_iterations is None:
        flags.max_iterations = max(200_000, recipe.iterations)
    try:
        check_state_bits(flags.state_bits)
    except ValueError as error:
        arguments.error(f"--{str(error).replace('_', '-', 1)}")
    if flags.max_iterations < recipe.iterations:
        arguments.error(
            f"--max-iterations must be at least the iterations, {recipe.iterations}, "
            f"got {flags.max_iterations}"
        )
