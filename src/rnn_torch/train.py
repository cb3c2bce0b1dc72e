"""python -m rnn_torch.train: learn addition by autograd, auditing the hand-written gradient."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from rnn_numpy import console
from rnn_numpy.params import Params
from rnn_numpy.recipe import Diverged, Recipe
from rnn_torch.model import ElmanRNN, squared_error
from rnn_torch.parity import gradient_parity


class AutogradLearner:
    """Plain SGD on (4), the gradient from torch autograd."""

    audited = True

    def __init__(
        self, params: Params, learning_rate: float, device: torch.device | str = "cpu"
    ) -> None:
        self.model = ElmanRNN.from_params(params, device=device)
        self._learning_rate = learning_rate
        self._device = device

    def step(
        self, x: Float[np.ndarray, "bits 1 2"], y: Float[np.ndarray, "bits 1 1"]
    ) -> Float[np.ndarray, "bits 1 1"]:
        """Descend on one example; return the outputs from before.

        Raises:
            Diverged: the new weights are not finite; the old ones are kept.
        """
        outputs, _ = self.model(torch.as_tensor(x, device=self._device))
        loss = squared_error(outputs, torch.as_tensor(y, device=self._device))
        weights = [self.model.U, self.model.W, self.model.V]
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            updated = [w - self._learning_rate * g for w, g in zip(weights, gradients, strict=True)]
            if not all(bool(w.isfinite().all()) for w in updated):
                raise Diverged
            for old, new in zip(weights, updated, strict=True):
                old.copy_(new)
        return outputs.numpy(force=True)

    def predict(self, x: Float[np.ndarray, "bits batch 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """The outputs for these inputs."""
        with torch.no_grad():
            outputs, _ = self.model(torch.as_tensor(x, device=self._device))
        return outputs.numpy(force=True)

    def params(self) -> Params:
        """The weights as they are now."""
        return self.model.to_params()

    def parity(
        self, x: Float[np.ndarray, "bits 1 2"], y: Float[np.ndarray, "bits 1 1"]
    ) -> float | None:
        """How far the hand-written gradient of this example is from autograd's."""
        return gradient_parity(self.model, x, y)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = console.parser(
        "rnn_torch.train",
        "Train an Elman RNN to add, with torch autograd. Each log line also says how far the "
        "hand-written\ngradient of that very example is from autograd's.",
    )
    arguments.add_argument("--device", default="cpu", help="a torch device (%(default)s)")
    return console.main(arguments, _learner, argv)


def _learner(params: Params, recipe: Recipe, flags: argparse.Namespace) -> AutogradLearner:
    try:
        learner = AutogradLearner(params, recipe.learning_rate, flags.device)
        learner.params()  # a device that cannot give its numbers back is of no use
        return learner
    except (RuntimeError, AssertionError, TypeError) as error:
        # torch refuses a device in any of these ways; the reason is in the first line.
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {flags.device} cannot be used: {reason}") from error


if __name__ == "__main__":
    sys.exit(main())
