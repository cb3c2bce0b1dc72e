"""The layer in torch operations, step by step, and random tensors for it."""

from collections.abc import Callable

import torch
from torch import Tensor

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
