"""The Elman layer as one differentiable operation, with a hand-written backward: the fast twin.

`elman` does what a loop of torch operations under autograd does (`model.ElmanRNN` is that twin):
forward and backward, backward twice and more (`create_graph`), forward mode, `torch.func`
(`vmap` over examples or over networks), `torch.compile(fullgraph=True)` with one operation in the
graph whatever the number of steps. Only the hidden states are stored, or, with `checkpoint_every`,
only some of them.

How it can: the states are a recurrence (`_States`), and every derivative of a recurrence is one:
`y_t = v_t + s_t * (y_{t-1} M)` (`_Linear`), forwards or backwards in time. Its derivatives are
again of this form, so two loops and torch's own operations give all orders in both modes.
"""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rnn_numpy.params import check_shape
from rnn_torch import operators, recurrence
from rnn_torch.model import ElmanRNN

#: Steps that `FusedElmanRNN.outputs` takes at a time.
SEGMENT = 256


def elman(
    x: Float[Tensor, "time batch n_in"],
    U: Float[Tensor, "n_in hidden"],
    W: Float[Tensor, "hidden hidden"],
    h_0: Float[Tensor, "batch hidden"] | None = None,
) -> Float[Tensor, "time batch hidden"]:
    """The states h_1 ... h_T of (1) and (2), differentiable in every argument.

    Raises:
        TypeError: arguments of different dtypes or on different devices.
        ValueError: shapes that do not fit.
    """
    _check(x, U, W, h_0)
    compiling = torch.compiler.is_compiling()
    if not compiling and not _transformed(x):
        return _apply(_Layer, x, U, W, h_0)
    if h_0 is None:
        h_0 = x.new_zeros(x.shape[1], W.shape[1])
    if compiling and not torch._C._are_functorch_transforms_active():
        return operators.elman(x, U, W, h_0)
    # The compiler takes torch.func apart itself, and operators cannot follow it there. And of a
    # forward derivative's forward derivative torch gives 0 for any operation with a jvp of its own.
    if compiling or _forward_levels() > 1:
        return _step_by_step(x @ U, W, h_0)
    return _apply(_States, x @ U, W, h_0)


class FusedElmanRNN(ElmanRNN):
    """`ElmanRNN` with `elman` as its layer: the same parameters, results and errors."""

    def forward(
        self,
        x: Float[Tensor, "time batch n_in"],
        h_0: Float[Tensor, "batch hidden"] | None = None,
    ) -> tuple[Float[Tensor, "time batch n_out"], Float[Tensor, "time batch hidden"]]:
        """As `ElmanRNN.forward`."""
        self._check("x", x, {"time": None, "batch": None, "n_in": self.U.shape[0]})
        if h_0 is not None:
            self._check("h_0", h_0, {"batch": x.shape[1], "hidden": self.W.shape[0]})
        states = elman(x, self.U, self.W, h_0)
        return torch.sigmoid(states @ self.V), states  # (3)

    def outputs(
        self,
        x: Float[Tensor, "time batch n_in"],
        h_0: Float[Tensor, "batch hidden"] | None = None,
        *,
        checkpoint_every: int | None = None,
    ) -> tuple[Float[Tensor, "time batch n_out"], Float[Tensor, "batch hidden"]]:
        """The outputs, and the last state only: what a training step needs, in less memory.

        The steps are taken a segment at a time, so that only the states are kept of them all, not
        the gradients with respect to them.

        Args:
            x, h_0: as in `forward`.
            checkpoint_every: keep one state in this many, too; the backward pass computes the
                others again, a segment at a time. The square root of the number of steps needs
                least memory; the time grows by about a third.

        Raises:
            TypeError, ValueError: as `forward`, and for a `checkpoint_every` that is no integer
                above 0.
        """
        self._check("x", x, {"time": None, "batch": None, "n_in": self.U.shape[0]})
        if h_0 is None:
            h_0 = x.new_zeros(x.shape[1], self.W.shape[0])
        if isinstance(checkpoint_every, bool) or not isinstance(checkpoint_every, int | None):
            raise TypeError(f"checkpoint_every must be an integer, got {checkpoint_every!r}")
        if checkpoint_every is not None and checkpoint_every < 1:
            raise ValueError(f"checkpoint_every must be at least 1, got {checkpoint_every}")
        run = self._segment
        if checkpoint_every is not None:
            run = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
        parts, h = [], h_0
        for segment in x.split(checkpoint_every or SEGMENT):
            part, h = run(segment, h, self.U, self.W, self.V)
            parts.append(part)
        return torch.cat(parts), h

    @staticmethod
    def _segment(x: Tensor, h_0: Tensor, U: Tensor, W: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        states = elman(x, U, W, h_0)
        # A view of the last state would keep all of them.
        return torch.sigmoid(states @ V), states[-1].clone()  # (3)


def _check(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None) -> None:
    """Raise unless the arguments of `elman` fit each other."""
    shapes, kinds = [x.shape, U.shape, W.shape], {x.dtype, U.dtype, W.dtype}
    devices = {x.device, U.device, W.device}
    if h_0 is not None:
        shapes.append(h_0.shape)
        kinds.add(h_0.dtype)
        devices.add(h_0.device)
    if len(shapes[0]) == 3 and 0 not in shapes[0] and len(shapes[1]) == 2:
        (_, batch, n_in), hidden = shapes[0], shapes[1][1]
        fitting = [(n_in, hidden), (hidden, hidden), (batch, hidden)]
        if all(map(tuple.__eq__, shapes[1:], fitting)) and len(kinds) == len(devices) == 1:
            return
    check_shape("x", tuple(x.shape), {"time": None, "batch": None, "n_in": None})
    check_shape("U", tuple(U.shape), {"n_in": x.shape[2], "hidden": None})
    hidden = U.shape[1]
    check_shape("W", tuple(W.shape), {"hidden": hidden, "hidden ": hidden})
    if h_0 is not None:
        check_shape("h_0", tuple(h_0.shape), {"batch": x.shape[1], "hidden": hidden})
    raise TypeError(
        "x, U, W and h_0 must have one dtype and one device, got "
        f"{', '.join(sorted(map(str, kinds)))} on {', '.join(sorted(map(str, devices)))}"
    )


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result


class _Layer(torch.autograd.Function):
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
        if not torch.is_grad_enabled() and not _transformed(upstream):
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


class _States(torch.autograd.Function):
    """h_t = sigmoid(a_t + h_{t-1} W), for `torch.func` and its transforms."""

    @staticmethod
    def forward(a: Tensor, W: Tensor, h_0: Tensor) -> Tensor:
        return _step_by_step(a, W, h_0)

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
        return folded.unfold(_apply(_States, sequence, folded.matrix, state)), 1


class _Linear(torch.autograd.Function):
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
        f = _apply(_Linear, s * upstream, s, M.mT, not ctx.reverse)
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
        return _apply(_Linear, change, s, M, ctx.reverse)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, v: Tensor, s: Tensor, M: Tensor, reverse: bool
    ) -> tuple[Tensor, int]:
        folded = _Folded(info.batch_size, M, in_dims[2])
        sequences = (folded.sequence(v, in_dims[0]), folded.sequence(s, in_dims[1]))
        return folded.unfold(_apply(_Linear, *sequences, folded.matrix, reverse)), 1


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


def _transformed(tensor: Tensor) -> bool:
    """Whether this is no plain tensor but one of torch.func, or of a batched backward pass."""
    return torch._C._are_functorch_transforms_active() or (
        torch._C._functorch.is_legacy_batchedtensor(tensor)
    )


def _forward_levels() -> int:
    """How many jvp (or jacfwd) of torch.func are around this."""
    functorch = torch._C._functorch
    levels = functorch.get_interpreter_stack() or []
    return sum(level.key() == functorch.TransformType.Jvp for level in levels)


def _errors(W: Tensor, states: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """(7) and (8) by differentiable operations, and dE/dh_0."""
    slopes = states * (1 - states)
    delta = _apply(_Linear, slopes * upstream, slopes, W.mT, True)
    return delta, delta[0] @ W.mT


def _states_jvp(da: Any, W: Tensor, dW: Any, h_0: Tensor, dh_0: Any, states: Tensor) -> Tensor:
    change = da
    if dW is not None:
        change = _sum(change, _before(h_0, states) @ dW)
    if dh_0 is not None:
        first = (dh_0 @ W).unsqueeze(0)
        change = _sum(change, torch.cat([first, torch.zeros_like(states[1:])]))
    slopes = states * (1 - states)
    return _apply(_Linear, slopes * change, slopes, W, False)


def _step_by_step(a: Tensor, W: Tensor, h_0: Tensor) -> Tensor:
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
    time, networks, batch, n = one.shape  # of `_States` and `_Linear` for several networks
    columns = one.permute(1, 3, 0, 2).reshape(networks, n, time * batch)
    return columns @ other.transpose(0, 1).reshape(networks, time * batch, -1)
