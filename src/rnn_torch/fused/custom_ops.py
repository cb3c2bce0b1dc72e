"""The layer as two registered torch operators: `torch.compile` puts them into its graph.

The compiler does not trace into them, so its time does not grow with the number of steps.
"""

from typing import Any

import torch
from torch import Tensor

from rnn_torch.fused import recurrence


@torch.library.custom_op("rnn_torch::elman", mutates_args=())
def elman(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor) -> Tensor:
    """h_1 ... h_T (time, batch, hidden), as `recurrence.states`."""
    return recurrence.states(x, U, W, h_0)


@torch.library.custom_op("rnn_torch::elman_backward", mutates_args=())
def elman_backward(
    x: Tensor, U: Tensor, W: Tensor, h_0: Tensor, states: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, U, W and h_0 from that of every state, as `recurrence.gradients`."""
    into_x, into_U, into_W, into_h_0 = recurrence.gradients(x, U, W, h_0, states, upstream)
    assert into_h_0 is not None
    return into_x, into_U, into_W, into_h_0


@elman.register_fake
def _(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], W.shape[-1])


@elman_backward.register_fake
def _(
    x: Tensor, U: Tensor, W: Tensor, h_0: Tensor, states: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    into_x, into_U, into_W, into_h_0 = (t.new_empty(t.shape) for t in (x, U, W, h_0))
    return into_x, into_U, into_W, into_h_0


def _setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _backward(ctx: Any, upstream: Tensor) -> Any:
    return elman_backward(*ctx.saved_tensors, upstream)


elman.register_autograd(_backward, setup_context=_setup_context)
