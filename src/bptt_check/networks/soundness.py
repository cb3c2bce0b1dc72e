"""Check that a network can serve as a reference, deterministic and pure; whether it is causal."""

import numpy as np
import torch

from bptt_check.networks.network import Network
from bptt_check.networks.problems import changed_at, general


def check_network(network: Network) -> None:
    """Run a network on a general problem.

    Raises:
        ValueError: the network fails, changes its arguments, returns different losses in a second
            call, or has losses without a gradient.
    """
    problem = general(network)
    tensors = network.tensors(problem.values)
    copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    losses = torch.stack(list(network.losses(tensors)))
    for name, tensor in tensors.items():
        if not torch.equal(tensor, copies[name]):
            raise ValueError(
                f"{network.name} changes its argument {name}: work on a copy ({name}.clone())"
            )
    if not losses.requires_grad:
        raise ValueError(
            f"the loss of {network.name} must depend on a float argument, got one without a "
            "gradient: remove detach(), .item() or a computation in NumPy"
        )
    first, evaluated = losses.numpy(force=True), network.evaluate(problem.values)
    if not np.array_equal(evaluated.losses, first, equal_nan=True):
        raise ValueError(
            f"{network.name} must yield the same losses in every call: make random numbers "
            "(dropout) and state kept between calls arguments of it"
        )
    if not all(np.isfinite(a).all() for a in (first, *evaluated.gradients.values())):
        raise ValueError(
            f"{network.name} must have finite losses and gradients, got NaN or infinity"
        )


def is_causal(network: Network) -> bool:
    """Whether no loss depends on the arguments of a later step; a bidirectional network's do."""
    problem = general(network)
    losses = network.evaluate(problem.values).losses
    for name, argument in network.arguments.items():
        if argument.time_axis is None:
            continue
        size = argument.shape(problem.sizes)[argument.time_axis]
        extra = size - len(losses)
        for step in range(1, len(losses)):
            changed = changed_at(network, problem, name, range(step + extra, size))
            probe = network.evaluate(changed.values).losses
            if not np.array_equal(probe[:step], losses[:step], equal_nan=True):
                return False
    return True
