"""The layer in torch operations, random tensors for it; wrong gradients, and what is named."""

from collections.abc import Callable

import torch
from torch import Tensor

from bptt_check.judge.report import Report

Layer = Callable[..., Tensor]


def step_by_step(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None = None) -> Tensor:
    h, states = torch.zeros_like(x[0, :, :1] @ W[:1]) if h_0 is None else h_0, []
    for x_t in x:
        h = torch.sigmoid(x_t @ U + h @ W)
        states.append(h)
    return torch.stack(states)


def tensors(
    time: int, batch: int, n_in: int, hidden: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(time + 10 * batch + 100 * hidden)
    shapes = ((time, batch, n_in), (n_in, hidden), (hidden, hidden), (batch, hidden))
    return [torch.randn(shape, dtype=dtype, generator=generator) for shape in shapes]


def changed(x: Tensor, backward: Callable[[Tensor], Tensor]) -> Tensor:
    """The same tensor, with another backward pass: of its gradient."""
    same = x.clone()
    same.register_hook(backward)
    return same


def scaled(x: Tensor, factor: float) -> Tensor:
    """The same tensor, whose gradient is multiplied by a factor."""
    return x.detach() + factor * (x - x.detach())


def named(report: Report) -> list[str]:
    """The names of its explanations."""
    return [explanation.name for explanation in report.mistakes or ()]
