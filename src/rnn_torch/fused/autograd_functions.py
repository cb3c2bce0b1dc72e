"""The layer as a `torch.autograd.Function`, for autograd, forward mode and `torch.func`.

Forward and backward are a call each in plain eager mode. Where their result is differentiated again
or mapped, torch's operations take the same steps.
"""

from typing import Any

import torch
from torch import Tensor

from rnn_torch.fused import recurrence


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """`function.apply`, which has no types."""
    result: Tensor = function.apply(*arguments)
    return result


class Layer(torch.autograd.Function):
    """The states h_1 ... h_T of (1) and (2), in plain eager mode."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None) -> Tensor:
        states = recurrence.states(x, U, W, h_0)
        ctx.save_for_backward(x, U, W, h_0, states)
        ctx.save_for_forward(x, U, W, h_0, states)
        return states

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        x, U, W, h_0, states = ctx.saved_tensors
        # With create_graph, or under vmap, by operations that can be differentiated or mapped.
        if not torch.is_grad_enabled() and not transformed(upstream):
            return recurrence.gradients(x, U, W, h_0, states, upstream)
        from_next, deltas = torch.zeros_like(upstream[0]), []
        for dh, slope in zip(upstream.flip(0), (states * (1 - states)).flip(0), strict=True):
            deltas.append((dh + from_next) * slope)  # (7), (8)
            from_next = deltas[-1] @ W.mT
        delta = torch.stack(deltas[::-1])
        rows = delta.reshape(-1, len(W))
        before = _before(h_0, states)
        into_U, into_W = (a.reshape(-1, a.shape[-1]).mT @ rows for a in (x, before))  # (9), (10)
        return delta @ U.mT, into_U, into_W, None if h_0 is None else from_next

    @staticmethod
    def jvp(ctx: Any, dx: Any, dU: Any, dW: Any, dh_0: Any) -> Tensor:
        x, U, W, h_0, states = ctx.saved_tensors
        change = torch.zeros_like(states)
        for d, matrix in ((dx, U), (x, dU), (_before(h_0, states), dW)):
            if d is not None and matrix is not None:
                change = change + d @ matrix
        dh, result = torch.zeros_like(states[0]) if dh_0 is None else dh_0, []
        for dz, slope in zip(change, states * (1 - states), strict=True):
            dh = (dz + dh @ W) * slope
            result.append(dh)
        return torch.stack(result)


class LayerInFunc(Layer):
    """The same for `torch.func`, whose transforms need the context apart; slower to call."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor) -> Tensor:  # type: ignore[override]
        return step_by_step(x, U, W, h_0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)


def step_by_step(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor) -> Tensor:
    """The states by operations that torch differentiates and maps."""
    h, states = h_0, []
    for a_t in x @ U:
        h = torch.sigmoid(a_t + h @ W)  # (1), (2)
        states.append(h)
    return torch.stack(states)


def transformed(tensor: Tensor) -> bool:
    """Whether this tensor belongs to a torch.func transform or a batched backward pass."""
    return torch._C._are_functorch_transforms_active() or (
        torch._C._functorch.is_legacy_batchedtensor(tensor)
    )


def forward_levels() -> int:
    """The number of enclosing jvp (or jacfwd) transforms of torch.func."""
    functorch = torch._C._functorch
    levels = functorch.get_interpreter_stack() or []
    return sum(level.key() == functorch.TransformType.Jvp for level in levels)


def _before(h_0: Tensor | None, states: Tensor) -> Tensor:
    """h_0 ... h_{T-1}."""
    first = torch.zeros_like(states[:1]) if h_0 is None else h_0.unsqueeze(0)
    return torch.cat([first, states[:-1]])
