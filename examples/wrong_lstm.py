"""Wrong: the error of the cell is passed on to the step before as it is, not times f."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-np.clip(z, -500, 500)))


def backward(x, y, h_0, c_0, U, W, b, V, c):
    H = len(W)
    h, cell, gates = [h_0], [c_0], []
    for x_t in x:
        z = x_t @ U + h[-1] @ W + b
        i, f, o = (sigmoid(z[:, k * H : (k + 1) * H]) for k in (0, 1, 3))
        g = np.tanh(z[:, 2 * H : 3 * H])
        cell.append(f * cell[-1] + i * g)
        h.append(o * np.tanh(cell[-1]))
        gates.append((i, f, g, o))
    dU, dW, db, dV, dc = (np.zeros_like(a) for a in (U, W, b, V, c))
    dh, dcell = np.zeros_like(h_0), np.zeros_like(c_0)
    for t in reversed(range(len(x))):
        scores = h[t + 1] @ V + c
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(p)), y[t]] -= 1
        dV += h[t + 1].T @ p
        dc += p.sum(axis=0)
        dh = p @ V.T + dh
        i, f, g, o = gates[t]
        s = np.tanh(cell[t + 1])
        dcell = dcell + dh * o * (1 - s**2)
        di, df, dg, do = dcell * g, dcell * cell[t], dcell * i, dh * s
        dz = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dU += x[t].T @ dz
        dW += h[t].T @ dz
        db += dz.sum(axis=0)
        dh = dz @ W.T
        dcell = dcell  # here: * f
    return {"dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc}
