"""Wrong in three lines, the mistakes of a published layer: docs/public-code.md has it."""

import numpy as np


def dtanh(z):
    return 1 - np.tanh(z) ** 2


def backward(x, h_0, U, W, b, y):
    h = [h_0]
    for x_t in x:
        h.append(np.tanh(x_t @ U + h[-1] @ W + b))
    dx, dU, dW, db = np.zeros_like(x), np.zeros_like(U), np.zeros_like(W), np.zeros_like(b)
    dh = np.zeros_like(h_0)
    for t in reversed(range(len(x))):  # y is dE/dh, from the layer above
        dz = dtanh(h[t + 1]) * (y[t] + dh)
        dU += x[t].T @ dz
        db += y[t].sum(axis=0)
        dW += h[t].T @ dz
        dh = dz @ W.T
        d = y[t] @ W.T
        dx[t] = d @ U.T
    return {"dx": dx, "dh_0": dh, "dU": dU, "dW": dW, "db": db}
