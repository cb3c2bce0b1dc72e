import numpy as np
import torch
from rnn_torch.networks import network, upstream


@network(s="source n_in", x="time n_in", Ue="n_in h", We="h h", Ud="n_in h", Wd="h h", dy=upstream("time h"))
def seq2seq(s, x, Ue, We, Ud, Wd, dy):
    h = torch.zeros(len(We))
    for s_t in s:
        h = torch.tanh(s_t @ Ue + h @ We)
    for x_t, d in zip(x, dy):
        h = torch.tanh(x_t @ Ud + h @ Wd)
        yield (h * d).sum()


def backward(s, x, Ue, We, Ud, Wd, dy):
    e = [np.zeros(len(We))]
    for s_t in s:
        e.append(np.tanh(s_t @ Ue + e[-1] @ We))
    h = [e[-1]]
    for x_t in x:
        h.append(np.tanh(x_t @ Ud + h[-1] @ Wd))
    g, dh = {"dUe": 0 * Ue, "dWe": 0 * We, "dUd": 0 * Ud, "dWd": 0 * Wd}, 0
    for z, a, U, W, k, up in ((x, h, Ud, Wd, "d", dy), (s, e, Ue, We, "e", 0 * s @ Ue)):
        for t in reversed(range(len(z))):
            dz = (dh + up[t]) * (1 - a[t + 1] ** 2)
            g["dU" + k] = g["dU" + k] + np.outer(z[t], dz)
            g["dW" + k] = g["dW" + k] + np.outer(a[t], dz)
            dh = (W if k == "d" else W.T) @ dz  # wrong in the encoder: W
    return g
