import numpy as np
import torch
from rnn_torch.networks import network, upstream


@network(x="time n_in", U="n_in h", W="h h", dy=upstream("time h"))
def net(x, U, W, dy):
    z, h = x @ U, torch.zeros(len(W))  # all steps' inputs at once, as libraries do
    for z_t, d in zip(z, dy):
        h = torch.tanh(z_t + h @ W)
        yield (h * d).sum()


def backward(x, U, W, dy):
    h = [np.zeros(len(W))]
    for x_t in x:
        h.append(np.tanh(x_t @ U + h[-1] @ W))
    dU, dW, dh = 0 * U, 0 * W, 0
    for t in reversed(range(len(x))):
        dz = (dh + dy[t]) * (1 - h[t + 1] ** 2)
        dU += np.outer(x[t], dz)
        dW += np.outer(h[t], dz)
        dh = W.T @ dz  # wrong: W @ dz
    return {"dU": dU, "dW": dW}
