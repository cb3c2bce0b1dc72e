"""The same passes, fused: all gates in one product, and nothing inside a loop that can be outside.

What does not depend on the state before (the inputs' products, the softmax, the sums over time of
the weights' gradients) is one product for all steps; the loops hold only the recurrence.
"""

import numpy as np

Array = np.ndarray
Gradients = dict[str, Array]


def tanh(
    x: Array, h_0: Array, U: Array, W: Array, b: Array, y: Array, V: Array, c: Array
) -> Gradients:
    states, before = [h_0], x @ U + b
    for a_t in before:
        states.append(np.tanh(a_t + states[-1] @ W))
    h = np.stack(states)
    dh, output = _softmax(h[1:], y, V, c)
    dz = np.empty_like(dh)
    back = np.zeros_like(h_0)
    slope = (1 - h[1:]) * (1 + h[1:])
    for t in range(len(x) - 1, -1, -1):
        dz[t] = slope[t] * (dh[t] + back)
        back = dz[t] @ W.T
    inside = {"dU": _product(x, dz), "dW": _product(h[:-1], dz), "db": dz.sum(axis=(0, 1))}
    return {"dx": dz @ U.T, "dh_0": back, **inside, **output}


def gru(
    x: Array, h_0: Array, U: Array, W: Array, b: Array, d: Array, y: Array, V: Array, c: Array
) -> Gradients:
    hidden = len(d)
    bias = np.concatenate([np.zeros(2 * hidden, x.dtype), d])
    states, kept, before = [h_0], [], x @ U + b
    for a_t in before:
        recurrent = states[-1] @ W + bias
        gates = 1 / (1 + np.exp(-(a_t + recurrent)[:, : 2 * hidden]))
        r, z = gates[:, :hidden], gates[:, hidden:]
        n = np.tanh(a_t[:, 2 * hidden :] + r * recurrent[:, 2 * hidden :])
        states.append((1 - z) * n + z * states[-1])
        kept.append((r, z, n, recurrent[:, 2 * hidden :]))
    h = np.stack(states)
    dh, output = _softmax(h[1:], y, V, c)
    from_x, from_h = np.empty_like(before), np.empty_like(before)
    back = np.zeros_like(h_0)
    for t, (r, z, n, m) in reversed([*enumerate(kept)]):
        error = dh[t] + back
        dn = (1 - z) * (1 - n * n) * error
        dz = z * (1 - z) * (h[t] - n) * error
        from_x[t] = np.concatenate([r * (1 - r) * m * dn, dz, dn], axis=1)
        from_h[t] = from_x[t]
        from_h[t, :, 2 * hidden :] *= r
        back = from_h[t] @ W.T + error * z
    inside = {"dU": _product(x, from_x), "dW": _product(h[:-1], from_h)}
    sums = {"db": from_x.sum(axis=(0, 1)), "dd": from_h[:, :, 2 * hidden :].sum(axis=(0, 1))}
    return {"dx": from_x @ U.T, "dh_0": back, **inside, **sums, **output}


def lstm(
    x: Array, h_0: Array, c_0: Array, U: Array, W: Array, b: Array, y: Array, V: Array, c: Array
) -> Gradients:
    """One product for input, state and bias: [x_t, h_{t-1}, 1] times the stacked weights."""
    time, batch, n_in = x.shape
    hidden = len(W)
    stacked = np.concatenate([U, W, b[np.newaxis]])
    ones = np.ones((batch, 1), x.dtype)
    h, cell = h_0, c_0
    rows, gates, cells, states = [], [], [c_0], []
    for x_t in x:
        rows.append(np.concatenate([x_t, h, ones], axis=1))
        z = (rows[-1] @ stacked).reshape(batch, 4, hidden)
        gates.append(np.where([[[0], [0], [1], [0]]], np.tanh(z), 1 / (1 + np.exp(-z))))
        cell = gates[-1][:, 1] * cell + gates[-1][:, 0] * gates[-1][:, 2]
        h = gates[-1][:, 3] * np.tanh(cell)
        cells.append(cell)
        states.append(h)
    dh, output = _softmax(np.stack(states), y, V, c)
    squashed = np.tanh(np.stack(cells))
    dz = np.empty((time, batch, 4, hidden), x.dtype)
    dx = np.empty_like(x)
    back, back_in_cell = np.zeros_like(h_0), np.zeros_like(c_0)
    for t in reversed(range(time)):
        i, f, g, o = gates[t].swapaxes(0, 1)
        error = dh[t] + back
        in_cell = back_in_cell + error * (o - o * squashed[t + 1] ** 2)
        dz[t, :, 0] = in_cell * g * i * (1 - i)
        dz[t, :, 1] = in_cell * cells[t] * f * (1 - f)
        dz[t, :, 2] = in_cell * i * (1 - g) * (1 + g)
        dz[t, :, 3] = error * squashed[t + 1] * o * (1 - o)
        row = dz[t].reshape(batch, -1) @ stacked.T
        dx[t], back = row[:, :n_in], row[:, n_in:-1]
        back_in_cell = in_cell * f
    d_stacked = _product(np.stack(rows), dz.reshape(time, batch, -1))
    inside = {"dU": d_stacked[:n_in], "dW": d_stacked[n_in:-1], "db": d_stacked[-1]}
    return {"dx": dx, "dh_0": back, "dc_0": back_in_cell, **inside, **output}


def _product(left: Array, right: Array) -> Array:
    """The sum over time and batch of left_t^T right_t, as one product."""
    product: Array = left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])
    return product


def _softmax(h: Array, y: Array, V: Array, c: Array) -> tuple[Array, Gradients]:
    """The loss's gradient with respect to every state, and to the output's weights."""
    logits = h @ V + c
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    error = e / e.sum(axis=-1, keepdims=True) - (np.arange(len(c)) == y[..., np.newaxis])
    error = error.astype(h.dtype)
    return error @ V.T, {"dV": _product(h, error), "dc": error.sum(axis=(0, 1))}
