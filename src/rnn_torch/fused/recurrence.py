"""The layer's forward and backward pass by the fastest implementation; autograd is not involved.

`states` computes (1) and (2), `gradients` computes (7)-(10), by one of two implementations, chosen
by device, dtype and size:

- a compiled kernel, for small float32 and float64 networks on the CPU, where the overhead of
  torch's operations dominates: one call computes a loop over time, or a whole pass;
- torch's `addmm` and an in-place sigmoid in each step, for all other sizes, devices and dtypes.

A matrix product over all steps is divided into products of `ROWS` rows, which fit into the cache.

The limits between the implementations are measured: benchmarks/speed/layer.py, docs/performance.md.
"""

import numpy as np
import torch
from torch import Tensor

from rnn_numpy.compiled import native

# The measured limits; a row is one example of one step.
SMALL = 1 << 20  #: most multiplications in a product for one kernel call a pass
SMALL_MATRIX = 1 << 14  #: most entries in U or W for one kernel call a pass
LARGE_STEP = 1 << 22  #: fewest multiplications in a step for which BLAS is faster than the kernel
LARGE_MATRIX = 1 << 20  #: fewest bytes of W for which BLAS is faster; twice as many for one example
ROWS = 2048  #: most rows in one product; more do not fit into the cache
_KERNELS = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
_HAVE_KERNELS = native.available()
_sigmoid_backward = torch.ops.aten.sigmoid_backward


def states(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None) -> Tensor:
    """h_1 ... h_T (time, batch, hidden) from x (time, batch, n_in) and h_0 (batch, hidden) or 0."""
    x, U, W = x.contiguous(), U.contiguous(), W.contiguous()
    n_in, hidden = U.shape
    result = x.new_empty((*x.shape[:-1], hidden))
    if _by_kernel(x, hidden):
        time, batch, _ = x.shape
        if not _small(x, hidden):
            _multiply(x, U, result)
            n_in = 0
        initial = U if h_0 is None else h_0.contiguous()
        native.kernel("forward", _KERNELS[x.dtype])(
            x.data_ptr(), U.data_ptr(), W.data_ptr(), initial.data_ptr(), result.data_ptr(),
            h_0 is not None, time, batch, n_in, hidden,
        )  # fmt: skip
        return result

    h = torch.zeros_like(result[0]) if h_0 is None else h_0
    for part in _parts(result):
        _multiply(x[part], U, result[part])
        for z in result[part].unbind():  # z holds x_t U
            h = torch.sigmoid(torch.addmm(z, h, W, out=z), out=z)  # (1), (2)
    return result


def gradients(
    x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None, h: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients of x, U, W and h_0 from `upstream`, that of every state in h: (7)-(10).

    Each has the shape of its argument; None for h_0 if that is None.
    """
    upstream = upstream.contiguous()
    hidden = h.shape[-1]
    if by_kernel := _by_kernel(h, hidden):
        if _small(x, hidden):
            return _small_gradients(x, U, W, h_0, h, upstream)
        all_deltas = _errors_by_kernel(W, h, upstream)
    into_x, into_U, into_W = x.new_empty(x.shape), torch.zeros_like(U), torch.zeros_like(W)
    from_next: Tensor | None = None
    for part in reversed(_parts(h)):
        if by_kernel:
            delta = all_deltas[part]
        else:
            delta = _errors(W.mT, h[part], upstream[part], from_next)
            from_next = delta[0]
        _multiply(delta, U.mT, into_x[part])
        into_U += _sum_of_products(x[part], delta)  # (9)
        first = max(part.start, 1)  # (10), without the term of h_0
        if first < part.stop:
            before, after = h[first - 1 : part.stop - 1], delta[first - part.start :]
            into_W += _sum_of_products(before, after)
    if h_0 is None:
        return into_x, into_U, into_W, None
    into_W += _sum_of_products(h_0.unsqueeze(0), delta[:1])
    return into_x, into_U, into_W, delta[0] @ W.mT


def _parts(sequence: Tensor) -> list[slice]:
    """The steps, divided into parts of at most `ROWS` rows, but of at least one step."""
    time = len(sequence)
    steps = max(1, ROWS // sequence.shape[1])
    return [slice(first, min(first + steps, time)) for first in range(0, time, steps)]


def _small_gradients(
    x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None, h: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """`gradients` in one call of the kernel."""
    x, U, W = x.contiguous(), U.contiguous(), W.contiguous()
    initial = U if h_0 is None else h_0.contiguous()
    (time, batch, n_in), hidden = x.shape, len(W)
    into_x, into_U, into_W = torch.empty_like(x), torch.empty_like(U), torch.empty_like(W)
    into_h_0 = None if h_0 is None else torch.empty_like(initial)
    workspace = x.new_empty((time * batch + max(n_in, hidden)) * hidden)
    native.kernel("whole_backward", _KERNELS[x.dtype])(
        x.data_ptr(), U.data_ptr(), W.data_ptr(), initial.data_ptr(), h.data_ptr(),
        upstream.data_ptr(), h_0 is not None, into_x.data_ptr(), into_U.data_ptr(),
        into_W.data_ptr(), (into_W if into_h_0 is None else into_h_0).data_ptr(),
        workspace.data_ptr(), time, batch, n_in, hidden,
    )  # fmt: skip
    return into_x, into_U, into_W, into_h_0


def _errors_by_kernel(W: Tensor, h: Tensor, upstream: Tensor) -> Tensor:
    """delta_1 ... delta_T (8) from the gradient of every state, in one call of the kernel."""
    delta = torch.empty_like(h)
    transposed = h.shape[1] >= 4
    matrix = (W.mT if transposed else W).contiguous()
    native.kernel("backward", _KERNELS[h.dtype])(
        matrix.data_ptr(), transposed, h.data_ptr(), upstream.data_ptr(), delta.data_ptr(),
        *h.shape,
    )  # fmt: skip
    return delta


def _errors(W_T: Tensor, h: Tensor, upstream: Tensor, from_next: Tensor | None) -> Tensor:
    """As `_errors_by_kernel`, by torch's operations; `from_next` is the delta of the step after."""
    delta = torch.empty_like(h)
    steps = list(zip(h.unbind(), upstream.unbind(), delta.unbind(), strict=True))
    for h_t, dh, delta_t in reversed(steps):
        if from_next is not None:
            dh = torch.addmm(dh, from_next, W_T, out=delta_t)  # (7)
        _sigmoid_backward.grad_input(dh, h_t, grad_input=delta_t)  # (8)
        from_next = delta_t
    return delta


def _by_kernel(sequence: Tensor, hidden: int) -> bool:
    """Whether a kernel computes the loop over time of a (time, batch, n) sequence."""
    rows = sequence.shape[1]
    return (
        _HAVE_KERNELS
        and sequence.dtype in _KERNELS
        and sequence.is_cpu
        and hidden**2 * rows < LARGE_STEP
        and hidden**2 * sequence.itemsize < LARGE_MATRIX * (1 if rows > 1 else 2)
    )


def _small(x: Tensor, hidden: int) -> bool:
    time, batch, n_in = x.shape
    return (
        time * batch <= ROWS  # the kernel adds one row after the other: more would lose digits
        and time * batch * n_in * hidden <= SMALL
        and max(n_in, hidden) * hidden <= SMALL_MATRIX
    )


def _multiply(sequence: Tensor, matrix: Tensor, out: Tensor) -> None:
    """Write the product of `sequence`, of all steps and examples, and `matrix` to `out`."""
    torch.mm(sequence.flatten(0, 1), matrix, out=out.flatten(0, 1))


def _sum_of_products(one: Tensor, other: Tensor) -> Tensor:
    """The sum over time and batch of `one_t^T other_t`."""
    return one.flatten(0, 1).mT @ other.flatten(0, 1)
