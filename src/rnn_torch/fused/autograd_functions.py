"""The layer as `torch.autograd.Function`s: every derivative of a recurrence is a recurrence.

The states are h_t = sigmoid(a_t + h_{t-1} W) (`States`); their derivatives have the form
`y_t = v_t + s_t * (y_{t-1} M)` (`Linear`), forward or backward in time. The derivatives of `Linear`
have this form, too, so two loops and torch's operations give all orders, in both modes. `Layer` is
the same for plain eager autograd, in as few calls as possible.
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
    """The whole layer, for plain eager autograd: as few calls as possible."""

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
        before = _before(h_0, states)
        delta, into_h_0 = _errors(W, states, upstream)
        into_x, into_U, into_W = delta @ U.mT, _outer(x, delta), _outer(before, delta)
        return into_x, into_U, into_W, None if h_0 is None else into_h_0

    @staticmethod
    def jvp(ctx: Any, dx: Any, dU: Any, dW: Any, dh_0: Any) -> Tensor:
        x, U, W, h_0, states = ctx.saved_tensors
        da = _sum(None if dx is None else dx @ U, None if dU is None else x @ dU)
        return _states_jvp(da, W, dW, h_0, dh_0, states)


class States(torch.autograd.Function):
    """h_t = sigmoid(a_t + h_{t-1} W), for `torch.func` and its transforms."""

    @staticmethod
    def forward(a: Tensor, W: Tensor, h_0: Tensor) -> Tensor:
        return step_by_step(a, W, h_0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _, W, h_0 = inputs
        ctx.save_for_backward(W, h_0, output)
        ctx.save_for_forward(W, h_0, output)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        W, h_0, states = ctx.saved_tensors
        delta, into_h_0 = _errors(W, states, upstream)
        return delta, _outer(_before(h_0, states), delta), into_h_0

    @staticmethod
    def jvp(ctx: Any, da: Any, dW: Any, dh_0: Any) -> Tensor:
        W, h_0, states = ctx.saved_tensors
        return _states_jvp(da, W, dW, h_0, dh_0, states)

    @staticmethod
    def vmap(info: Any, in_dims: Any, a: Tensor, W: Tensor, h_0: Tensor) -> tuple[Tensor, int]:
        folded = _Folded(info.batch_size, W, in_dims[1])
        sequence, state = folded.sequence(a, in_dims[0]), folded.state(h_0, in_dims[2])
        return folded.unfold(apply(States, sequence, folded.matrix, state)), 1


class Linear(torch.autograd.Function):
    """y_t = v_t + s_t * (y_{t-1} M), y_0 = 0; or from the last step to the first (`reverse`)."""

    @staticmethod
    def forward(v: Tensor, s: Tensor, M: Tensor, reverse: bool) -> Tensor:
        steps = list(zip(v.unbind(), s.unbind(), strict=True))
        y = torch.zeros_like(v[0])
        result = []
        for v_t, s_t in reversed(steps) if reverse else steps:
            y = torch.addcmul(v_t, s_t, y @ M)
            result.append(y)
        return torch.stack(result[::-1] if reverse else result)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _, s, M, ctx.reverse = inputs
        ctx.save_for_backward(s, M, output)
        ctx.save_for_forward(s, M, output)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        s, M, y = ctx.saved_tensors
        f = apply(Linear, s * upstream, s, M.mT, not ctx.reverse)
        before = _shifted(y, ctx.reverse)
        into_v = upstream + _shifted(f, not ctx.reverse) @ M.mT
        return into_v, into_v * (before @ M), _outer(before, f), None

    @staticmethod
    def jvp(ctx: Any, dv: Any, ds: Any, dM: Any, _: Any) -> Tensor:
        s, M, y = ctx.saved_tensors
        before = _shifted(y, ctx.reverse)
        change = dv
        if ds is not None:
            change = _sum(change, ds * (before @ M))
        if dM is not None:
            change = _sum(change, s * (before @ dM))
        return apply(Linear, change, s, M, ctx.reverse)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, v: Tensor, s: Tensor, M: Tensor, reverse: bool
    ) -> tuple[Tensor, int]:
        folded = _Folded(info.batch_size, M, in_dims[2])
        sequences = (folded.sequence(v, in_dims[0]), folded.sequence(s, in_dims[1]))
        return folded.unfold(apply(Linear, *sequences, folded.matrix, reverse)), 1


class _Folded:
    """One more mapped axis: as more examples, or as more networks where the matrix has it too."""

    def __init__(self, size: int, matrix: Tensor, dim: int | None) -> None:
        self.size = size
        self.networks = dim is not None or matrix.dim() == 3
        if dim is not None:
            matrix = matrix.movedim(dim, 0)
        elif self.networks:
            matrix = matrix.expand(size, *matrix.shape)
        self.matrix = matrix.flatten(0, -3) if self.networks else matrix

    def sequence(self, sequence: Tensor, dim: int | None) -> Tensor:
        """(time, size * batch, n), or (time, size * networks, batch, n)."""
        if dim is None:
            sequence = sequence.unsqueeze(1).expand(-1, self.size, *sequence.shape[1:])
        else:
            sequence = sequence.movedim(dim, 1)
        self.inner = sequence.shape[2:]
        return sequence.flatten(1, -3 if self.networks else -2)

    def state(self, state: Tensor, dim: int | None) -> Tensor:
        """As `sequence`, for one step."""
        moved = state if dim is None else state.movedim(dim, 0)
        return self.sequence(moved.unsqueeze(0), None if dim is None else 1)[0]

    def unfold(self, result: Tensor) -> Tensor:
        """(time, size, ..., n): undoes `sequence`."""
        return result.reshape(len(result), self.size, *self.inner[:-1], result.shape[-1])


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


def _errors(W: Tensor, states: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """(7) and (8) by differentiable operations, and dE/dh_0."""
    slopes = states * (1 - states)
    delta = apply(Linear, slopes * upstream, slopes, W.mT, True)
    return delta, delta[0] @ W.mT


def _states_jvp(da: Any, W: Tensor, dW: Any, h_0: Any, dh_0: Any, states: Tensor) -> Tensor:
    change = da
    if dW is not None:
        change = _sum(change, _before(h_0, states) @ dW)
    if dh_0 is not None:
        first = (dh_0 @ W).unsqueeze(0)
        change = _sum(change, torch.cat([first, torch.zeros_like(states[1:])]))
    slopes = states * (1 - states)
    return apply(Linear, slopes * change, slopes, W, False)


def step_by_step(a: Tensor, W: Tensor, h_0: Tensor) -> Tensor:
    """The states by operations that autograd differentiates."""
    h, states = h_0, []
    for a_t in a.unbind():
        h = torch.sigmoid(a_t + h @ W)
        states.append(h)
    return torch.stack(states)


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _before(h_0: Tensor | None, states: Tensor) -> Tensor:
    """h_0 ... h_{T-1}."""
    if h_0 is None:
        return _shifted(states, reverse=False)
    return torch.cat([h_0.unsqueeze(0), states[:-1]])


def _shifted(y: Tensor, reverse: bool) -> Tensor:
    """The y before each step in the direction of the recurrence, which starts from zero."""
    zero = torch.zeros_like(y[:1])
    return torch.cat([y[1:], zero]) if reverse else torch.cat([zero, y[:-1]])


def _outer(one: Tensor, other: Tensor) -> Tensor:
    """The sum over time and batch of one_t^T other_t."""
    if one.dim() == 3:
        return one.reshape(-1, one.shape[-1]).mT @ other.reshape(-1, other.shape[-1])
    time, networks, batch, n = one.shape  # of `States` and `Linear` for several networks
    columns = one.permute(1, 3, 0, 2).reshape(networks, n, time * batch)
    return columns @ other.transpose(0, 1).reshape(networks, time * batch, -1)
