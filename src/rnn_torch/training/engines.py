"""The engines in torch: which one suits, and the learner that it makes."""

from typing import NamedTuple

from torch import distributed

from rnn_numpy.elman_network.params import Params
from rnn_numpy.training.recipe import Recipe
from rnn_numpy.training.sgd import engine_for
from rnn_torch.training.data_parallel import DataParallelLearner
from rnn_torch.training.learners import AutogradLearner, CompiledLearner, FusedLearner

LEARNERS = {"compiled": CompiledLearner, "fused": FusedLearner, "autograd": AutogradLearner}


class TorchEngine(NamedTuple):
    """An engine on a device; under torchrun, all processes of the group together."""

    name: str
    learner_class: type[AutogradLearner]
    device: str

    def learner(self, params: Params, recipe: Recipe) -> AutogradLearner:
        """As `Engine.learner`."""
        try:
            if distributed.is_initialized():
                return DataParallelLearner(params, recipe, self.device, self.learner_class)
            learner = self.learner_class(params, recipe, self.device)
            learner.params()  # a device that cannot give its numbers back is of no use
            return learner
        except (RuntimeError, AssertionError, TypeError) as error:
            # torch refuses a device in any of these ways; the reason is in the first line.
            reason = str(error).splitlines()[0]
            raise ValueError(f"--device {self.device} cannot be used: {reason}") from error


def choose(name: str | None, device: str, hidden: int) -> TorchEngine:
    """The engine of this name; None for the first of them that suits the device and the size.

    Raises:
        ValueError: the engine does not run on this device, or here.
    """
    on_cpu, together = device.split(":")[0] == "cpu", distributed.is_initialized()
    if name is None:
        fits = on_cpu and not together and engine_for(hidden) == "compiled"
        name = "compiled" if fits else "fused"
    learner_class = LEARNERS[name]
    if name == "compiled":
        if together:
            raise ValueError("--engine compiled runs in one process, not under torchrun: fused?")
        if not on_cpu:
            raise ValueError(f"--engine compiled runs on the CPU, not on {device}: fused?")
        engine_for(hidden, name)
    if together and distributed.get_world_size() > 1:
        # Another number of processes adds in another order: it is another engine.
        name = f"{name}, {distributed.get_world_size()} processes"
    return TorchEngine(name, learner_class, device)
