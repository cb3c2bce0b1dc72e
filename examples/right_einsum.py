"""Right: everything stored last step first, sums as einsum, and a mapping returned."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def backward(x, y, U, W, V):
    time, batch, _ = x.shape
    h = np.zeros((time + 1, batch, len(W)), x.dtype)
    for t in range(time):
        h[time - t - 1] = sigmoid(np.einsum("bi,ih->bh", x[t], U) + h[time - t] @ W)
    x, y, now, before = x[::-1], y[::-1], h[:-1], h[1:]
    o = sigmoid(np.einsum("tbh,ho->tbo", now, V))
    eps = (o - y) * (o - o**2)
    delta = np.einsum("tbo,ho->tbh", eps, V)
    for t in range(time):
        if t > 0:
            delta[t] += delta[t - 1] @ W.T
        delta[t] *= now[t] - now[t] ** 2
    return {
        "dU": np.einsum("tbi,tbh->ih", x, delta),
        "dW": np.einsum("tbh,tbk->hk", before, delta),
        "dV": np.einsum("tbh,tbo->ho", now, eps),
    }
