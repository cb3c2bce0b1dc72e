"""The recurrence's two loops over time, as fast as the machine allows; no autograd in here.

`states` is (1) and (2), `errors` is (7) and (8), `products` the rest of the backward pass. Each
works on one network, or on several at once: then U, W and every (batch, feature) have a `networks`
axis in front. Three ways, chosen by size alone:

- a compiled kernel on the CPU, in float32 and float64, where torch would spend
  its time between its operations: the whole loop in one call, or even the whole pass;
- oneDNN where it beats torch's own BLAS: large float32 products on the CPU. On an AMD processor it
  has twice the rate of MKL;
- `addmm` and an in-place sigmoid a step, anywhere else: any device, any floating dtype.

Products for all steps at once are taken some steps at a time, while they are in the cache.

The limits between them are measured: benchmarks/speed/layer.py, docs/performance.md.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rnn_numpy.compiled import native

# The measured limits; a row is one example of one step.
SMALL = 1 << 19  #: most multiplications in a product for which one kernel call does a whole pass
SMALL_MATRIX = 1 << 12  #: most entries in a matrix for the same
SMALL_MATRIX_FEW_ROWS = 1 << 14  #: the same, where the product has fewer than FEW_ROWS rows
FEW_ROWS = 16
LARGE_STEP = 1 << 22  #: multiplications in a step from which BLAS beats the kernel's loop
LARGE_MATRIX = 1 << 21  #: bytes of W from which it does
ONEDNN = 1 << 22  #: multiplications in a product from which oneDNN beats MKL
ONEDNN_LEAST_ROWS = 32  #: fewest rows for the same
ROWS = 2048  #: rows in one product for several steps; more leave the cache
_KERNELS = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}
_HAVE_KERNELS = native.available()
_HAVE_ONEDNN = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
)
_sigmoid_backward = torch.ops.aten.sigmoid_backward
Product = Callable[[Tensor, Tensor, Tensor], Tensor]


def states(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None) -> Tensor:
    """h_1 ... h_T (time, batch, hidden) from x (time, batch, n_in) and h_0 (batch, hidden).

    All with `networks` in front of batch, n_in and hidden, or none. No h_0 means zeros.
    """
    x, U, W = x.contiguous(), U.contiguous(), W.contiguous()
    n_in, hidden = U.shape[-2:]
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
    product = _product_of_a_step(h, W)
    for part in _parts(result):
        _multiply(x[part], U, result[part])
        for z in result[part].unbind():  # z holds x_t U
            h = torch.sigmoid(product(h, z, z), out=z)  # (1), (2)
    return result


def gradients(
    x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None, h: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients of x, U, W and h_0 from that of every state: (7)-(10)."""
    upstream = upstream.contiguous()
    hidden = h.shape[-1]
    if by_kernel := _by_kernel(h, hidden):
        if _small(x, hidden):
            return _small_gradients(x, U, W, h_0, h, upstream)
        every_delta = _errors_by_kernel(W, h, upstream)
    into_x, into_U, into_W = x.new_empty(x.shape), torch.zeros_like(U), torch.zeros_like(W)
    from_next: Tensor | None = None
    product = _product_of_a_step(h[0], W.mT)
    for part in reversed(_parts(h)):
        if by_kernel:
            delta = every_delta[part]
        else:
            delta = _errors(product, h[part], upstream[part], from_next)
            from_next = delta[0]
        _multiply(delta, U.mT, into_x[part])
        into_U += sum_of_products(x[part], delta)  # (9)
        first = max(part.start, 1)  # (10), but for h_0
        if first < part.stop:
            into_W += sum_of_products(h[first - 1 : part.stop - 1], delta[first - part.start :])
    if h_0 is None:
        return into_x, into_U, into_W, None
    into_W += sum_of_products(h_0.unsqueeze(0), delta[:1])
    return into_x, into_U, into_W, delta[0] @ W.mT


def _parts(sequence: Tensor) -> list[slice]:
    """The steps, as many at a time as make `ROWS`."""
    time = len(sequence)
    steps = max(1, ROWS // (sequence[0].numel() // sequence.shape[-1]))
    return [slice(first, min(first + steps, time)) for first in range(0, time, steps)]


def _small_gradients(
    x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None, h: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """As `gradients`, in one call of a kernel."""
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
    """delta_1 ... delta_T (8) from the gradient with respect to every state."""
    delta = torch.empty_like(h)
    transposed = h.shape[1] >= 4
    matrix = (W.mT if transposed else W).contiguous()
    native.kernel("backward", _KERNELS[h.dtype])(
        matrix.data_ptr(), transposed, h.data_ptr(), upstream.data_ptr(), delta.data_ptr(),
        *h.shape,
    )  # fmt: skip
    return delta


def _errors(product: Product, h: Tensor, upstream: Tensor, from_next: Tensor | None) -> Tensor:
    """As `_errors_by_kernel` by torch's operations, going on from a later step's delta."""
    delta = torch.empty_like(h)
    steps = list(zip(h.unbind(), upstream.unbind(), delta.unbind(), strict=True))
    for h_t, dh, now in reversed(steps):
        if from_next is not None:
            dh = product(from_next, dh, now)  # (7)
        _sigmoid_backward.grad_input(dh, h_t, grad_input=now)  # (8)
        from_next = now
    return delta


def _by_kernel(sequence: Tensor, hidden: int) -> bool:
    """`sequence` has (time, batch, n), or (time, networks, batch, n)."""
    return (
        _HAVE_KERNELS
        and sequence.dtype in _KERNELS
        and sequence.is_cpu
        and sequence.dim() == 3
        and hidden**2 * sequence.shape[1] < LARGE_STEP
        and hidden**2 * sequence.itemsize < LARGE_MATRIX
    )


def _small(x: Tensor, hidden: int) -> bool:
    time, batch, n_in = x.shape
    largest = SMALL_MATRIX if time * batch >= FEW_ROWS else SMALL_MATRIX_FEW_ROWS
    return time * batch * n_in * hidden <= SMALL and max(n_in, hidden) * hidden <= largest


def _product_of_a_step(rows: Tensor, matrix: Tensor) -> Product:
    """A function of (one, other, out): `one matrix + other`, perhaps in `out`."""
    if _by_onednn(rows, matrix):
        # In the layout that oneDNN computes in: made once instead of at every step.
        packed = torch.ops.mkldnn._reorder_linear_weight(matrix.mT.contiguous(), len(rows))
        binary = torch.ops.mkldnn._linear_pointwise.binary
        return lambda one, other, _: binary(one, other, packed, None, "add")
    addmm = torch.addmm if matrix.dim() == 2 else torch.baddbmm
    return lambda one, other, out: addmm(other, one, matrix, out=out)


def _multiply(sequence: Tensor, matrix: Tensor, out: Tensor) -> Tensor:
    """`sequence` times `matrix` into `out`, over time and batch at once."""
    if matrix.dim() == 3:
        return torch.matmul(sequence, matrix, out=out)
    rows, into = sequence.flatten(0, 1), out.flatten(0, 1)
    if _by_onednn(rows, matrix):
        into.copy_(_onednn(rows, matrix))
    else:
        torch.mm(rows, matrix, out=into)
    return out


def sum_of_products(one: Tensor, other: Tensor) -> Tensor:
    """The sum over time and batch of `one_t^T other_t`."""
    if one.dim() == 4:
        # (time, networks, batch, n) -> (networks, n, time * batch)
        columns = one.permute(1, 3, 0, 2).flatten(2)
        return columns @ other.transpose(0, 1).flatten(1, 2)
    rows, others = one.flatten(0, 1), other.flatten(0, 1)
    if _by_onednn(rows, others):
        return _onednn(rows.mT.contiguous(), others)
    return rows.mT @ others


def _by_onednn(rows: Tensor, matrix: Tensor) -> bool:
    return (
        len(rows) * rows.shape[-1] * matrix.shape[-1] >= ONEDNN
        and len(rows) >= ONEDNN_LEAST_ROWS
        and _HAVE_ONEDNN
        and matrix.dim() == 2
        and rows.dtype == torch.float32
        and rows.is_cpu
    )


def _onednn(one: Tensor, other: Tensor) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(one, other.mT, None, "none", [], "")
    return result
