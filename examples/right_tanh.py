"""Right: BPTT of the stock network `tanh` with a softmax loss, biases, and a first state."""

import numpy as np


def backward(x, y, h_0, U, W, b, V, c):
    h = [h_0]
    for x_t in x:
        h.append(np.tanh(x_t @ U + h[-1] @ W + b))
    dx, dU, dW, db, dV, dc = (np.zeros_like(a) for a in (x, U, W, b, V, c))
    dh = np.zeros_like(h_0)
    for t in reversed(range(len(x))):
        scores = h[t + 1] @ V + c
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(p)), y[t]] -= 1
        dV += h[t + 1].T @ p
        dc += p.sum(axis=0)
        dz = (p @ V.T + dh) * (1 - h[t + 1] ** 2)
        dU += x[t].T @ dz
        dW += h[t].T @ dz
        db += dz.sum(axis=0)
        dx[t] = dz @ U.T
        dh = dz @ W.T
    return {"dx": dx, "dh_0": dh, "dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc}
