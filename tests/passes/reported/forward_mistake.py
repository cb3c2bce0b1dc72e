import numpy as np


def sig(z):
    return 1 / (1 + np.exp(-z))


def forward(x, h_0, c_0, U, W, b):
    H, h, c, gates = h_0.shape[1], [h_0], [c_0], []
    for x_t in x:
        z = x_t @ U + h[-1] @ W + b
        i, f, g, o = sig(z[:, :H]), sig(z[:, H : 2 * H]), np.tanh(z[:, 2 * H : 3 * H]), sig(z[:, 3 * H :])
        i = sig(f)  # wrong: the forward pass itself; the backward pass is right for i = sig(z_i)
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        gates.append((i, f, g, o))
    cache = (x, h, c, gates, U, W)
    hs = np.array(h[1:])
    return hs, cache


def backward(y, cache):
    x, h, c, gates, U, W = cache
    dU, dW, db, dh, dc = 0 * U, 0 * W, np.zeros(len(U.T)), 0 * h[0], 0 * c[0]
    for t in reversed(range(len(x))):
        i, f, g, o = gates[t]
        dh = dh + y[t]
        dc = dc + dh * o * (1 - np.tanh(c[t + 1]) ** 2)
        dz = np.hstack([dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g**2), dh * np.tanh(c[t + 1]) * o * (1 - o)])
        dU += x[t].T @ dz
        dW += h[t].T @ dz
        db += dz.sum(0)
        dh, dc = dz @ W.T, dc * f
    return {"dU": dU, "dW": dW, "db": db, "dh_0": dh, "dc_0": dc}
