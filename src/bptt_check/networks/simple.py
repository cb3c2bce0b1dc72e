"""The simple recurrent network: h_t = f(x_t U + h_{t-1} W + b), f the tanh or the relu."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bptt_check.networks.losses import loss_named, steps
from bptt_check.networks.network import Network, network


def tanh(loss: str = "softmax") -> Network:
    """h_t = tanh(x_t U + h_{t-1} W + b)."""
    return _simple(torch.tanh, "tanh", loss)


def relu(loss: str = "softmax") -> Network:
    """h_t = relu(x_t U + h_{t-1} W + b)."""
    return _simple(torch.relu, "relu", loss)


def _simple(f: Callable[[Tensor], Tensor], name: str, loss: str) -> Network:
    loss_function = loss_named(loss)

    def simple(
        x: Tensor, h_0: Tensor, U: Tensor, W: Tensor, b: Tensor, y: Tensor, **output: Tensor
    ) -> Iterator[Tensor]:
        h = h_0
        for x_t, y_t in steps(x, y):
            h = f(x_t @ U + h @ W + b)
            yield loss_function.at_step(h, y_t, **output)

    simple.__name__ = name
    return network(
        x="time batch n_in",
        h_0="batch hidden",
        U="n_in hidden",
        W="hidden hidden",
        b="hidden",
        **loss_function.axes,
    )(simple)
