import numpy as np
import torch
from rnn_torch.networks import network, upstream


@network(x="time n", U="n h", W="h h", V="h", d=upstream("1"))
def net(x, U, W, V, d):
    h = torch.zeros(len(V))
    for x_t in x:
        h = torch.tanh(x_t @ U + h @ W)
    loss = ((h @ V) * d).sum()
    for _ in x[1:]:
        yield 0 * loss
    yield loss


def backward(x, U, W, V, d):
    h = np.zeros((len(x) + 1, len(V)))
    for t in range(len(x)):
        h[t] = np.tanh(x[t] @ U + h[t - 1] @ W)
    dU, dW, dh = 0 * U, 0 * W, V * d
    for t in reversed(range(len(x))):
        dz = dh * (1 - h[t] ** 2)
        dU += np.outer(x[t], dz)
        dW += np.outer(h[t - 1], dz)
        dh = W.T @ dz  # wrong
    return {"dU": dU, "dW": dW, "dV": h[len(x) - 1] * d}
