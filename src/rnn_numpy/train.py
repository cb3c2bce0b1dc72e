"""python -m rnn_numpy.train: learn binary addition with the hand-written backward pass."""

import sys
from collections.abc import Sequence

from bptt_check.commands import terminal
from rnn_numpy.commands import train_command, train_flags
from rnn_numpy.training.sgd import choose

DESCRIPTION = (
    "Train an Elman RNN to add binary numbers, with the hand-written backward pass in NumPy."
)

ENGINES = {
    "compiled": "one compiled kernel",
    "numpy": "the same loop in NumPy",
}


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = train_flags.parser("rnn_numpy.train", DESCRIPTION, ENGINES)
    flags = parser.parse_args(argv)
    recipe = train_flags.recipe_of(parser, flags)
    with terminal.bad_input(parser):
        engine = choose(flags.engine, recipe.hidden)
    return train_command.train(parser, flags, recipe, engine)


if __name__ == "__main__":
    sys.exit(main())
