"""python -m rnn_torch.train: learn addition, and compare logged gradients with autograd's."""

import argparse
import sys
from collections.abc import Sequence

from torch import distributed

from rnn_numpy.commands import train_command, train_flags
from rnn_numpy.commands.terminal import command
from rnn_numpy.compiled import native
from rnn_numpy.elman_network.params import Params
from rnn_numpy.training.recipe import Recipe
from rnn_numpy.training.sgd import MOST_HIDDEN_COMPILED
from rnn_torch.training.learners import AutogradLearner, CompiledLearner, FusedLearner
from rnn_torch.training.torchrun import join


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = train_flags.parser(
        "rnn_torch.train",
        "Train an Elman RNN to add binary numbers. At each log line the gradient that the engine\n"
        "has just computed is compared with autograd's (that of the engine `autograd` with the\n"
        "hand-written one in NumPy); the column `parity` has their distance, as a fraction of\n"
        "what rounding allows. Under torchrun the processes share each batch, and the sum of\n"
        "their gradients is compared.",
    )
    train_flags.add_engines(
        arguments,
        {
            "compiled": "one compiled kernel (needs a CPU and numba, the extra `fast`)",
            "fused": "the layer as one operation with a hand-written backward pass",
            "autograd": "torch's own backward pass, step by step",
        },
    )
    arguments.add_argument("--device", default="cpu", help="torch device to train on (%(default)s)")
    return train_command.main(arguments, _learner, argv, join)


def _learner(params: Params, recipe: Recipe, flags: argparse.Namespace) -> AutogradLearner:
    on_cpu, together = flags.device.split(":")[0] == "cpu", distributed.is_initialized()
    engine = flags.engine
    if engine is None:
        fits = on_cpu and native.available() and recipe.hidden <= MOST_HIDDEN_COMPILED
        engine = "compiled" if fits and not together else "fused"
    if engine == "compiled":
        if together:
            raise ValueError("--engine compiled runs in one process, not under torchrun: fused?")
        if not on_cpu:
            raise ValueError(f"--engine compiled runs on the CPU, not on {flags.device}: fused?")
        if not native.available():
            raise ValueError(f"--engine compiled needs numba: {native.INSTALL}")
        return CompiledLearner(params, recipe)
    learner_class = {"fused": FusedLearner, "autograd": AutogradLearner}[engine]
    try:
        if together:
            from rnn_torch.training.data_parallel import DataParallelLearner

            learner: AutogradLearner = DataParallelLearner(
                params, recipe, flags.device, learner_class
            )
        else:
            learner = learner_class(params, recipe, flags.device)
        learner.params()  # a device that cannot give its numbers back is of no use
        return learner
    except (RuntimeError, AssertionError, TypeError) as error:
        # torch refuses a device in any of these ways; the reason is in the first line.
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {flags.device} cannot be used: {reason}") from error


if __name__ == "__main__":
    sys.exit(main())
