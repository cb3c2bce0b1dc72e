"""Hand-written backward passes in textbook form: one loop forward, one loop back.

The arguments are those of `rnn_torch.networks.stock` of the same name; planted.py plants mistakes
in these lines. `h[-1]`, the last of T + 1 places, is the state before the first step.
"""

from typing import Any

import numpy as np

Array = np.ndarray
Gradients = dict[str, Array]


def sigmoid(a: Array) -> Array:
    s: Array = 1 / (1 + np.exp(-a))
    return s


def tanh(
    x: Array, h_0: Array, U: Array, W: Array, b: Array, y: Array, V: Array, c: Array
) -> Gradients:
    T, B = y.shape
    h = np.zeros((T + 1, B, len(W)), x.dtype)
    h[-1] = h_0
    p: Any = {}
    for t in range(T):
        h[t] = np.tanh(x[t] @ U + h[t - 1] @ W + b)
        a = h[t] @ V + c
        e = np.exp(a - a.max(axis=1, keepdims=True))
        p[t] = e / e.sum(axis=1, keepdims=True)
    dx, dU, dW, db, dV, dc = (np.zeros_like(k) for k in (x, U, W, b, V, c))
    dh_next = np.zeros_like(h_0)
    for t in reversed(range(T)):
        dy = p[t].copy()
        dy[np.arange(B), y[t]] -= 1
        dV += h[t].T @ dy
        dc += dy.sum(axis=0)
        dh = dy @ V.T + dh_next
        dz = dh * (1 - h[t] ** 2)
        dU += x[t].T @ dz
        dW += h[t - 1].T @ dz
        db += dz.sum(axis=0)
        dx[t] = dz @ U.T
        dh_next = dz @ W.T
    return {"dx": dx, "dh_0": dh_next, "dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc}


def gru(
    x: Array, h_0: Array, U: Array, W: Array, b: Array, d: Array, y: Array, V: Array, c: Array
) -> Gradients:
    T, B = y.shape
    H = len(W)
    W_r, W_z, W_n = W[:, :H], W[:, H : 2 * H], W[:, 2 * H :]
    h = np.zeros((T + 1, B, H), x.dtype)
    h[-1] = h_0
    r, z, m, n, p = np.zeros((5, T), object)
    for t in range(T):
        a = x[t] @ U + b
        r[t] = sigmoid(a[:, :H] + h[t - 1] @ W_r)
        z[t] = sigmoid(a[:, H : 2 * H] + h[t - 1] @ W_z)
        m[t] = h[t - 1] @ W_n + d
        n[t] = np.tanh(a[:, 2 * H :] + r[t] * m[t])
        h[t] = (1 - z[t]) * n[t] + z[t] * h[t - 1]
        o = h[t] @ V + c
        e = np.exp(o - o.max(axis=1, keepdims=True))
        p[t] = e / e.sum(axis=1, keepdims=True)
    dx, dU, dW, db, dd, dV, dc = (np.zeros_like(k) for k in (x, U, W, b, d, V, c))
    dh_next = np.zeros_like(h_0)
    for t in reversed(range(T)):
        dy = p[t].copy()
        dy[np.arange(B), y[t]] -= 1
        dV += h[t].T @ dy
        dc += dy.sum(axis=0)
        dh = dy @ V.T + dh_next
        dn = dh * (1 - z[t])
        dz = dh * (h[t - 1] - n[t])
        da_n = dn * (1 - n[t] ** 2)
        dm = da_n * r[t]
        dr = da_n * m[t]
        da_z = dz * z[t] * (1 - z[t])
        da_r = dr * r[t] * (1 - r[t])
        da = np.hstack([da_r, da_z, da_n])
        dU += x[t].T @ da
        dW += h[t - 1].T @ np.hstack([da_r, da_z, dm])
        db += da.sum(axis=0)
        dd += dm.sum(axis=0)
        dx[t] = da @ U.T
        dh_next = dh * z[t]
        dh_next += da_r @ W_r.T
        dh_next += da_z @ W_z.T
        dh_next += dm @ W_n.T
    return {"dx": dx, "dh_0": dh_next, "dU": dU, "dW": dW, "db": db, "dd": dd, "dV": dV, "dc": dc}


def lstm(
    x: Array, h_0: Array, c_0: Array, U: Array, W: Array, b: Array, y: Array, V: Array, c: Array
) -> Gradients:
    T, B = y.shape
    H = len(W)
    h, s = np.zeros((2, T + 1, B, H), x.dtype)  # s is the cell: c is the bias of the output
    h[-1], s[-1] = h_0, c_0
    i, f, g, o, p = np.zeros((5, T), object)
    for t in range(T):
        z = x[t] @ U + h[t - 1] @ W + b
        i[t] = sigmoid(z[:, :H])
        f[t] = sigmoid(z[:, H : 2 * H])
        g[t] = np.tanh(z[:, 2 * H : 3 * H])
        o[t] = sigmoid(z[:, 3 * H :])
        s[t] = f[t] * s[t - 1] + i[t] * g[t]
        h[t] = o[t] * np.tanh(s[t])
        a = h[t] @ V + c
        e = np.exp(a - a.max(axis=1, keepdims=True))
        p[t] = e / e.sum(axis=1, keepdims=True)
    dx, dU, dW, db, dV, dc = (np.zeros_like(k) for k in (x, U, W, b, V, c))
    dh_next, ds_next = np.zeros_like(h_0), np.zeros_like(c_0)
    for t in reversed(range(T)):
        dy = p[t].copy()
        dy[np.arange(B), y[t]] -= 1
        dV += h[t].T @ dy
        dc += dy.sum(axis=0)
        dh = dy @ V.T + dh_next
        tanh_s = np.tanh(s[t])
        ds = dh * o[t] * (1 - tanh_s**2)
        ds += ds_next
        di = ds * g[t]
        df = ds * s[t - 1]
        dg = ds * i[t]
        do = dh * tanh_s
        dz_i = di * i[t] * (1 - i[t])
        dz_f = df * f[t] * (1 - f[t])
        dz_g = dg * (1 - g[t] ** 2)
        dz_o = do * o[t] * (1 - o[t])
        dz = np.hstack([dz_i, dz_f, dz_g, dz_o])
        dU += x[t].T @ dz
        dW += h[t - 1].T @ dz
        db += dz.sum(axis=0)
        dx[t] = dz @ U.T
        dh_next = dz @ W.T
        ds_next = ds * f[t]
    return {
        "dx": dx,
        "dh_0": dh_next,
        "dc_0": ds_next,
        "dU": dU,
        "dW": dW,
        "db": db,
        "dV": dV,
        "dc": dc,
    }
