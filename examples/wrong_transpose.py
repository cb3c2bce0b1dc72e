"""Wrong: the error goes back through W instead of its transpose."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def backward(x, y, U, W, V):
    h = [np.zeros((x.shape[1], len(W)), x.dtype)]
    o = []
    for x_t in x:
        h.append(sigmoid(x_t @ U + h[-1] @ W))
        o.append(sigmoid(h[-1] @ V))
    dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
    delta = np.zeros_like(h[0])
    for t in reversed(range(len(x))):
        eps = (o[t] - y[t]) * o[t] * (1 - o[t])
        delta = (eps @ V.T + delta @ W) * h[t + 1] * (1 - h[t + 1])
        dU += x[t].T @ delta
        dW += h[t].T @ delta
        dV += h[t + 1].T @ eps
    return dU, dW, dV
