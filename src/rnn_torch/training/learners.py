"""The engines in torch and their learners; logged gradients are compared with autograd's."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.params import Params
from rnn_numpy.tasks.addition import encode_batches, encode_pairs
from rnn_numpy.training.recipe import Diverged, Engine, Learner, Recipe
from rnn_numpy.training.sgd import CompiledSGD, engine_for
from rnn_torch.elman_network.model import ElmanRNN, autograd_gradient, squared_error
from rnn_torch.elman_network.parity import gradient_parity


class AutogradLearner(Learner):
    """Plain SGD on (4), the gradient from torch autograd; audits the one of `rnn_numpy.bptt`."""

    audited = True

    def __init__(self, params: Params, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        self.model = self._model_class().from_params(params, device=device)
        self.stride = max(1, 100 // recipe.batch_size)
        self._recipe, self._device = recipe, device

    def _model_class(self) -> type[ElmanRNN]:
        return ElmanRNN

    def descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """As `Learner.descend`."""
        weights, recipe = [self.model.U, self.model.W, self.model.V], self._recipe
        encoded = encode_batches(pairs, recipe.bits, recipe.batch_size, recipe.dtype)
        x, y = (torch.as_tensor(array, device=self._device) for array in encoded)
        for step, (x_step, y_step) in enumerate(zip(x, y, strict=True)):
            outputs, _ = self.model(x_step)
            gradients = torch.autograd.grad(squared_error(outputs, y_step), weights)
            with torch.no_grad():
                rate = recipe.learning_rate
                updated = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
                if not all(bool(w.isfinite().all()) for w in updated):
                    raise Diverged(step)
                for old, new in zip(weights, updated, strict=True):
                    old.copy_(new)
        return outputs.numpy(force=True)

    def params(self) -> Params:
        """As `Learner.params`."""
        return self.model.to_params()

    def audit(self, pairs: Int64[np.ndarray, "batch 2"]) -> float | None:
        """The distance of this batch's hand-written gradient from autograd's."""
        x, y = encode_pairs(pairs, self._recipe.bits, self._recipe.dtype)
        return gradient_parity(self.model, x, y, self._hand_written(x, y))

    def _hand_written(self, x: np.ndarray, y: np.ndarray) -> Params | None:
        """The gradient that is audited; None for that of `rnn_numpy.bptt`."""
        return None


class FusedLearner(AutogradLearner):
    """Plain SGD, the gradient from the hand-written backward of `rnn_torch.fused`; audits it."""

    def _model_class(self) -> type[ElmanRNN]:
        # Imported here: it registers operators with torch, which other engines need not wait for.
        from rnn_torch.fused.layer import FusedElmanRNN

        return FusedElmanRNN

    def _hand_written(self, x: np.ndarray, y: np.ndarray) -> Params:
        return autograd_gradient(self.model, x, y)


class CompiledLearner(CompiledSGD):
    """Plain SGD by the compiled kernel, on the CPU; audits its gradient."""

    audited = True

    def __init__(self, params: Params, recipe: Recipe, device: torch.device | str = "cpu") -> None:
        super().__init__(params, recipe)

    def audit(self, pairs: Int64[np.ndarray, "batch 2"]) -> float | None:
        """As `AutogradLearner.audit`."""
        model = ElmanRNN.from_params(self.weights)
        problem = encode_pairs(pairs, self.bits, self.dtype)
        return gradient_parity(model, *problem, self.gradient(pairs))


LEARNERS: dict[str, Callable[[Params, Recipe, str], Learner]] = {
    "compiled": CompiledLearner,
    "fused": FusedLearner,
    "autograd": AutogradLearner,
}


def choose(name: str | None, device: str, hidden: int) -> Engine:
    """The engine of this name; None for the first that suits the device and the size.

    Raises:
        ValueError: the engine does not run on this device, or is not built.
    """
    on_cpu = device.split(":")[0] == "cpu"
    if name is None:
        name = "compiled" if on_cpu and engine_for(hidden) == "compiled" else "fused"
    if name == "compiled":
        if not on_cpu:
            raise ValueError(f"--engine compiled runs on the CPU, not on {device}: fused?")
        engine_for(hidden, name)

    def learner(params: Params, recipe: Recipe) -> Learner:
        try:
            made = LEARNERS[name](params, recipe, device)
            made.params()  # fails on a device whose numbers cannot be read back
            return made
        except (RuntimeError, AssertionError, TypeError) as error:
            # torch refuses a device in any of these ways; the reason is in the first line.
            reason = str(error).splitlines()[0]
            raise ValueError(f"--device {device} cannot be used: {reason}") from error

    return Engine(name, learner)
