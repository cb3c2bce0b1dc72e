"""Wrong: as tutorials truncate, four steps back from each loss."""

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
    for t in reversed(range(len(x))):
        eps = (o[t] - y[t]) * o[t] * (1 - o[t])
        dV += h[t + 1].T @ eps
        delta = eps @ V.T * h[t + 1] * (1 - h[t + 1])
        for s in range(t, max(-1, t - 5), -1):
            dU += x[s].T @ delta
            dW += h[s].T @ delta
            delta = delta @ W.T * h[s] * (1 - h[s])
    return dU, dW, dV
