"""The project's own network: h_t = sigmoid(x_t U + h_{t-1} W), o_t = sigmoid(h_t V), no biases."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bptt_check.networks.axes import targets
from bptt_check.networks.losses import loss_named, steps
from bptt_check.networks.network import Network, network


def elman(loss: str = "squared") -> Network:
    """Equations (1)-(4) of docs/bptt.md; with another loss than `squared`, o_t = h_t V."""
    if loss == "squared":
        return _with_sigmoid_outputs
    loss_function = loss_named(loss)

    @network(x="time batch n_in", U="n_in hidden", W="hidden hidden", **loss_function.axes)
    def elman(x: Tensor, U: Tensor, W: Tensor, y: Tensor, **output: Tensor) -> Iterator[Tensor]:
        h = x.new_zeros(x.shape[1], len(W))
        for x_t, y_t in steps(x, y):
            h = torch.sigmoid(x_t @ U + h @ W)
            yield loss_function.at_step(h, y_t, **output)

    return elman.without("c")


@network(
    x="time batch n_in",
    y=targets("time batch n_out"),
    U="n_in hidden",
    W="hidden hidden",
    V="hidden n_out",
)
def _with_sigmoid_outputs(
    x: Tensor, y: Tensor, U: Tensor, W: Tensor, V: Tensor
) -> Iterator[Tensor]:
    h = x.new_zeros(x.shape[1], len(W))
    for x_t, y_t in steps(x, y):
        h = torch.sigmoid(x_t @ U + h @ W)  # (1), (2)
        o = torch.sigmoid(h @ V)  # (3)
        yield 0.5 * ((o - y_t) ** 2).sum()  # (4)
