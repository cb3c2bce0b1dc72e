"""Check that a network can serve as a reference: deterministic, pure and causal."""

import numpy as np
import torch

from rnn_torch.networks.network import Network
from rnn_torch.networks.problems import Problem, changed_at, designed


def check_network(network: Network) -> None:
    """Run a network on a general problem.

    Raises:
        ValueError: the network fails, changes its arguments, returns different losses in a second
            call, or has a loss that depends on the arguments of a later step.
    """
    problem = designed(network)[0]
    tensors = network.tensors(problem.values)
    copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    losses = torch.stack(list(network.losses(tensors))).numpy(force=True)
    for name, tensor in tensors.items():
        if not torch.equal(tensor, copies[name]):
            raise ValueError(
                f"{network.name} changes its argument {name}: work on a copy ({name}.clone())"
            )
    evaluated = network.evaluate(problem.values)
    if not np.array_equal(evaluated.losses, losses, equal_nan=True):
        raise ValueError(
            f"{network.name} must yield the same losses in every call: make random numbers "
            "(dropout) and state kept between calls arguments of it"
        )
    if not all(np.isfinite(a).all() for a in (losses, *evaluated.gradients.values())):
        raise ValueError(
            f"{network.name} must have finite losses and gradients, got NaN or infinity"
        )
    _check_causal(network, problem, losses)


def _check_causal(network: Network, problem: Problem, losses: np.ndarray) -> None:
    timed = {n: a for n, a in network.arguments.items() if a.time_axis is not None}
    for step in range(len(losses) - 1):
        for name, argument in timed.items():
            extra = argument.shape(problem.sizes)[argument.time_axis or 0] - len(losses)
            changed = changed_at(
                network, problem, name, range(step + 1 + extra, len(losses) + extra)
            )
            with torch.no_grad():
                probe = [float(loss) for loss in network.losses(network.tensors(changed.values))]
            if not np.array_equal(probe[: step + 1], losses[: step + 1], equal_nan=True):
                raise ValueError(
                    f"the loss of {network.name} at step {step + 1} must not depend on {name} at a "
                    "later step: back-propagation through time needs a causal loss"
                )
