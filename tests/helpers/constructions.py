"""Right backward passes, each written in another way; parity tests must accept all of them."""

import math
from typing import Any

import numpy as np

from problems import Array
from rnn_numpy import Params, bptt, complex_step, forward, rtrl
from rnn_numpy.elman_network.textbook import sigmoid, textbook
from rnn_torch import FusedElmanRNN, autograd_gradient

Gradient = tuple[Array, Array, Array]


def ours(x: Array, y: Array, U: Array, W: Array, V: Array) -> Params:
    params = Params(U, W, V)
    return bptt(params, forward(params, x)[1], y)


def forward_in_time(x: Array, y: Array, U: Array, W: Array, V: Array) -> Params:
    return rtrl(Params(U, W, V), x, y)


def without_derivatives(x: Array, y: Array, U: Array, W: Array, V: Array) -> Params:
    return complex_step(Params(U, W, V), x, y)


def example_by_example(x: Array, y: Array, U: Array, W: Array, V: Array) -> Gradient:
    """One example at a time, from the last to the first."""
    parts = [textbook(x[:, n : n + 1], y[:, n : n + 1], U, W, V) for n in range(x.shape[1])]
    dU, dW, dV = (sum(reversed(part[1:]), start=part[0]) for part in zip(*parts, strict=True))
    return dU, dW, dV


def in_extended_precision(x: Array, y: Array, U: Array, W: Array, V: Array) -> Gradient:
    """Computed in a wider type and rounded once, at the end."""
    wide = textbook(*(array.astype(np.longdouble) for array in (x, y, U, W, V)))
    dU, dW, dV = (gradient.astype(x.dtype) for gradient in wide)
    return dU, dW, dV


def with_einsum_and_reversed_storage(x: Array, y: Array, U: Array, W: Array, V: Array) -> Gradient:
    """Everything stored last step first; the sums over time and batch as one einsum."""
    time, batch, _ = x.shape
    h = np.zeros((time + 1, batch, len(W)), x.dtype)  # h[time - t] is h_t
    for t in range(time):
        h[time - t - 1] = sigmoid(
            np.einsum("bh,hk->bk", h[time - t], W) + np.einsum("bi,ik->bk", x[t], U)
        )
    now, before, x, y = h[:-1], h[1:], x[::-1], y[::-1]
    o = sigmoid(np.einsum("tbh,ho->tbo", now, V))
    eps = (o - o * o) * (o - y)
    delta = np.einsum("tbo,ho->tbh", eps, V)
    slope = now - now * now
    for t in range(time):
        if t > 0:
            delta[t] += np.einsum("bk,hk->bh", delta[t - 1], W)
        delta[t] *= slope[t]
    return (
        np.einsum("tbi,tbh->ih", x, delta),
        np.einsum("tbh,tbk->hk", before, delta),
        np.einsum("tbh,tbo->ho", now, eps),
    )


def as_a_tanh_network(x: Array, y: Array, U: Array, W: Array, V: Array) -> Gradient:
    """As a tanh network, by h = (1 + g) / 2, as torch.nn.RNN and cuDNN compute it."""
    half = x.dtype.type(0.5)

    def by_tanh(z: Array) -> Array:
        return half * (1 + np.tanh(half * z))

    time, batch, _ = x.shape
    h = [np.zeros((batch, len(W)), x.dtype)]
    for x_t in x:
        h.append(by_tanh(x_t @ U + h[-1] @ W))
    dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
    delta = np.zeros_like(h[0])
    for t in reversed(range(time)):
        g, o = 2 * h[t + 1] - 1, by_tanh(h[t + 1] @ V)
        eps = (o - y[t]) * o * (1 - o)
        delta = (eps @ V.T + delta @ W.T) * (1 - g) * (1 + g) / 4
        dU, dW, dV = dU + x[t].T @ delta, dW + h[t].T @ delta, dV + h[t + 1].T @ eps
    return dU, dW, dV


def correctly_summed(x: Array, y: Array, U: Array, W: Array, V: Array) -> Gradient:
    """Every sum rounded once only (math.fsum), in plain Python."""
    fsum, type_ = math.fsum, x.dtype.type

    def product(a: Array, b: Array) -> Array:
        pairs: Any = ([fsum(map(float, row * column)) for column in b.T] for row in a)
        return np.array(list(pairs), type_).reshape(len(a), b.shape[1])

    time, batch, n_in = x.shape
    h = [np.zeros((batch, len(W)), type_)]
    for x_t in x:
        h.append(sigmoid(product(np.hstack([x_t, h[-1]]), np.vstack([U, W]))))
    delta = np.zeros_like(h[0])
    deltas: list[Array] = []
    errors: list[Array] = []
    for t in reversed(range(time)):
        o = sigmoid(product(h[t + 1], V))
        eps = (o - y[t]) * (o * (1 - o))
        delta = product(np.hstack([eps, delta]), np.hstack([V, W]).T) * (h[t + 1] * (1 - h[t + 1]))
        deltas.insert(0, delta)
        errors.insert(0, eps)
    return (
        product(x.reshape(-1, n_in).T, np.vstack(deltas)),
        product(np.vstack(h[:-1]).T, np.vstack(deltas)),
        product(np.vstack(h[1:]).T, np.vstack(errors)),
    )


def flushing_to_zero(x: Array, y: Array, U: Array, W: Array, V: Array) -> Gradient:
    """No operation reads or returns a subnormal number, as on a GPU or with FTZ and DAZ."""
    tiny, one = np.finfo(x.dtype).tiny, x.dtype.type(1)

    def flush(a: Array) -> Array:
        return np.where(np.abs(a) < tiny, np.zeros_like(a), a)

    def product(a: Array, b: Array) -> Array:
        terms = flush(flush(a)[:, :, np.newaxis] * flush(b))
        total = np.zeros_like(terms[:, 0])
        for term in range(terms.shape[1]):
            total = flush(total + terms[:, term])
        return total

    def flushed_sigmoid(z: Array) -> Array:
        with np.errstate(over="ignore"):
            return flush(one / (one + flush(np.exp(-z))))

    h = [np.zeros((x.shape[1], len(W)), x.dtype)]
    for x_t in x:
        h.append(flushed_sigmoid(flush(product(x_t, U) + product(h[-1], W))))
    dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
    delta = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        o = flushed_sigmoid(product(h[t + 1], V))
        eps = flush(flush(flush(o - flush(y[t])) * o) * (one - o))
        dh = flush(product(eps, V.T) + product(delta, W.T))
        delta = flush(flush(dh * h[t + 1]) * (one - h[t + 1]))
        dU = flush(dU + product(x[t].T, delta))
        dW = flush(dW + product(h[t].T, delta))
        dV = flush(dV + product(h[t + 1].T, eps))
    return dU, dW, dV


def as_one_operation(x: Array, y: Array, U: Array, W: Array, V: Array) -> Params:
    """torch's autograd through the fused layer with its hand-written backward."""
    return autograd_gradient(FusedElmanRNN.from_params(Params(U, W, V)), x, y)


RIGHT = (
    ours,
    textbook,
    forward_in_time,
    without_derivatives,
    example_by_example,
    in_extended_precision,
    with_einsum_and_reversed_storage,
    correctly_summed,
    as_a_tanh_network,
    flushing_to_zero,
    as_one_operation,
)
