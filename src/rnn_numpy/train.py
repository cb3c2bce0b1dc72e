"""python -m rnn_numpy.train: learn binary addition with the hand-written backward pass."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from rnn_numpy import console
from rnn_numpy.model import bptt, forward
from rnn_numpy.params import Params
from rnn_numpy.recipe import Diverged, Recipe


class NumPyLearner:
    """Plain SGD on (4), the gradient from `bptt`."""

    audited = False

    def __init__(self, params: Params, learning_rate: float) -> None:
        self._params = params
        self._learning_rate = learning_rate

    def step(
        self, x: Float[np.ndarray, "bits 1 2"], y: Float[np.ndarray, "bits 1 1"]
    ) -> Float[np.ndarray, "bits 1 1"]:
        """Descend on one example; return the outputs from before.

        Raises:
            Diverged: the outputs or the new weights are not finite; the old weights are kept.
        """
        outputs, trace = forward(self._params, x)
        if not np.isfinite(outputs).all():
            raise Diverged
        self._params = sgd(self._params, bptt(self._params, trace, y), self._learning_rate)
        return outputs

    def predict(self, x: Float[np.ndarray, "bits batch 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """The outputs for these inputs."""
        return forward(self._params, x)[0]

    def params(self) -> Params:
        """The weights as they are now."""
        return self._params

    def parity(self, x: Float[np.ndarray, "bits 1 2"], y: Float[np.ndarray, "bits 1 1"]) -> None:
        """There is only one gradient here."""
        raise NotImplementedError


def sgd(params: Params, gradient: Params, learning_rate: float) -> Params:
    """The weights one step down the gradient.

    Raises:
        Diverged: they would not be finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        updated = Params(*(p - learning_rate * g for p, g in zip(params, gradient, strict=True)))
    if not all(np.isfinite(array).all() for array in updated):
        raise Diverged
    return updated


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = console.parser(
        "rnn_numpy.train",
        "Train an Elman RNN to add, with the hand-written backward pass in NumPy.",
    )
    return console.main(arguments, _learner, argv)


def _learner(params: Params, recipe: Recipe, flags: argparse.Namespace) -> NumPyLearner:
    return NumPyLearner(params, recipe.learning_rate)


if __name__ == "__main__":
    sys.exit(main())
