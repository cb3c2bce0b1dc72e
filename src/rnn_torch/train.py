"""python -m rnn_torch.train: learn addition, and compare logged gradients with autograd's."""

import sys
from collections.abc import Sequence

from bptt_check.commands import terminal
from rnn_numpy.commands import train_command, train_flags
from rnn_torch.training.learners import choose

DESCRIPTION = """\
Train an Elman RNN to add binary numbers. At each log line the gradient that the engine
has just computed is compared with autograd's (that of the engine `autograd` with the
hand-written one in NumPy); the column `parity` has their distance, as a fraction of
what rounding allows."""

ENGINES = {
    "compiled": "one compiled kernel (needs a CPU)",
    "fused": "the layer as one operation with a hand-written backward pass",
    "autograd": "torch's own backward pass, step by step",
}


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = train_flags.parser("rnn_torch.train", DESCRIPTION, ENGINES)
    parser.add_argument("--device", default="cpu", help="torch device to train on (%(default)s)")
    flags = parser.parse_args(argv)
    recipe = train_flags.recipe_of(parser, flags)
    with terminal.bad_input(parser):
        engine = choose(flags.engine, flags.device, recipe.hidden)
    return train_command.train(parser, flags, recipe, engine)


if __name__ == "__main__":
    sys.exit(main())
