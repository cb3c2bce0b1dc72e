import numpy as np
import torch
from rnn_torch.networks import network, upstream


def states(x, U, W):
    h, out = torch.zeros(len(W)), []
    for x_t in x:
        h = torch.tanh(x_t @ U + h @ W)
        out.append(h)
    return torch.stack(out)


@network(x="time n", Uf="n h", Wf="h h", Ub="n h", Wb="h h", V="h", dy=upstream("time"))
def two_way(x, Uf, Wf, Ub, Wb, V, dy):
    yield from ((states(x, Uf, Wf) + states(x.flip(0), Ub, Wb).flip(0)) @ V) * dy


def backward(x, Uf, Wf, Ub, Wb, V, dy):
    g, T = {}, len(x)
    g["dV"] = 0 * V
    for name, U, W, order in (("f", Uf, Wf, range(T)), ("b", Ub, Wb, range(T)[::-1])):
        h, before = {}, {}
        last = 0 * V
        for t in order:
            before[t], h[t] = last, np.tanh(x[t] @ U + last @ W)
            last = h[t]
        dU, dW, dh = 0 * U, 0 * W, 0 * V
        for t in reversed(order):
            g["dV"] = g["dV"] + dy[t] * h[t]
            dz = (dy[t] * V + dh) * (1 - h[t] ** 2)
            dU, dW, dh = dU + np.outer(x[t], dz), dW + np.outer(before[t], dz), W @ dz
        g["dU" + name], g["dW" + name] = dU, dW
    return g
