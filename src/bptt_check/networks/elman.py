"""Simple recurrent networks (Elman 1990); `elman` is that of docs/bptt.md."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bptt_check.networks.axes import inputs, targets
from bptt_check.networks.losses import loss_named, steps
from bptt_check.networks.network import Network, network


def elman(loss: str = "squared", batch: bool = True) -> Network:
    """Equations (1)-(4) of docs/bptt.md; with another loss than `squared`, o_t = h_t V.

    Raises:
        ValueError: there is no such loss, or one without a batch axis that is not `squared`.
    """
    if loss == "squared":
        examples = "batch " if batch else ""
        return network(
            x=inputs(f"time {examples}n_in"),
            y=targets(f"time {examples}n_out"),
            U="n_in hidden",
            W="hidden hidden",
            V="hidden n_out",
        )(_elman)
    loss_function = loss_named(loss)
    if not batch:
        raise ValueError(f"loss must be squared without a batch axis, got {loss}")

    @network(x="time batch n_in", U="n_in hidden", W="hidden hidden", **loss_function.axes)
    def elman(x: Tensor, U: Tensor, W: Tensor, y: Tensor, **output: Tensor) -> Iterator[Tensor]:
        h = x.new_zeros(x.shape[1], len(W))
        for x_t, y_t in steps(x, y):
            h = torch.sigmoid(x_t @ U + h @ W)
            yield loss_function.at_step(h, y_t, **output)

    return elman.without("c")


def _elman(x: Tensor, y: Tensor, U: Tensor, W: Tensor, V: Tensor) -> Iterator[Tensor]:
    h = x.new_zeros(*x.shape[1:-1], len(W))
    for x_t, y_t in steps(x, y):
        h = torch.sigmoid(x_t @ U + h @ W)  # (1), (2); back: (7) to (10)
        o = torch.sigmoid(h @ V)  # (3); back: (6), (11)
        yield 0.5 * ((o - y_t) ** 2).sum()  # (4)


_elman.__name__ = "elman"


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
