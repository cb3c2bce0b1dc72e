"""python -m rnn_numpy.train: learn binary addition with the hand-written backward pass."""

import argparse
import sys
from collections.abc import Sequence

from rnn_numpy.commands import train_command, train_flags
from rnn_numpy.commands.terminal import command
from rnn_numpy.elman_network.params import Params
from rnn_numpy.training.learner import NumPyLearner
from rnn_numpy.training.recipe import Recipe


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = train_flags.parser(
        "rnn_numpy.train",
        "Train an Elman RNN to add, with the hand-written backward pass in NumPy.",
    )
    train_flags.add_engines(
        arguments,
        {
            "compiled": "one compiled kernel; needs numba, the extra `fast`",
            "numpy": "the same loop in NumPy",
        },
    )
    return train_command.main(arguments, _learner, argv)


def _learner(params: Params, recipe: Recipe, flags: argparse.Namespace) -> NumPyLearner:
    return NumPyLearner(params, recipe, flags.engine)


if __name__ == "__main__":
    sys.exit(main())
