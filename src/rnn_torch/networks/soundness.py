"""Whether a network can be a reference at all: the same twice, pure, and blind to the future."""

import numpy as np
import torch

from rnn_torch.networks.network import Network
from rnn_torch.networks.problems import Problem, designed, other


def check_network(network: Network) -> None:
    """Try a network on a general problem.

    Raises:
        ValueError: it fails, changes its arguments, gives other losses the second time, or its loss
            depends on the arguments of a later step; in one paragraph.
    """
    problem = designed(network)[0]
    given = network.tensors(problem.values)
    before = {name: tensor.detach().clone() for name, tensor in given.items()}
    losses = torch.stack(list(network.losses(given))).numpy(force=True)
    for name, tensor in given.items():
        if not torch.equal(tensor, before[name]):
            raise ValueError(
                f"{network.name} changes its argument {name}: work on a copy ({name}.clone())"
            )
    evaluated = network.evaluate(problem.values)
    if not np.array_equal(evaluated.losses, losses, equal_nan=True):
        raise ValueError(
            f"{network.name} gives other losses when it is run again: random numbers (dropout) or "
            "what it keeps from call to call must be arguments of it"
        )
    if not all(np.isfinite(a).all() for a in (losses, *evaluated.gradients.values())):
        raise ValueError(f"{network.name} gives a loss or a gradient that is not finite")
    _check_that_it_is_causal(network, problem, losses)


def _check_that_it_is_causal(network: Network, problem: Problem, losses: np.ndarray) -> None:
    timed = {n: a for n, a in network.arguments.items() if a.time_axis is not None}
    for step in range(len(losses) - 1):
        for name, argument in timed.items():
            extra = argument.shape(problem.sizes)[argument.time_axis or 0] - len(losses)
            changed = other(network, problem, name, range(step + 1 + extra, len(losses) + extra))
            with torch.no_grad():
                again = [float(loss) for loss in network.losses(network.tensors(changed.values))]
            if not np.array_equal(again[: step + 1], losses[: step + 1], equal_nan=True):
                raise ValueError(
                    f"the loss of {network.name} at step {step + 1} depends on {name} at a later "
                    "step: back-propagation through time needs a loss that does not look ahead"
                )
