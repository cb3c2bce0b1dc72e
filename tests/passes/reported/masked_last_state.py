import numpy as np

def backward(x, lengths, y, U, W, V):
    """loss on the last valid state only, frozen afterwards."""
    T, B, _ = x.shape
    H = W.shape[0]
    mask = (np.arange(T)[:, None] < lengths[None]).astype(x.dtype)[..., None]
    h = np.zeros((T + 1, B, H))
    for t in range(T):
        new = np.tanh(x[t] @ U + h[t] @ W)
        h[t + 1] = mask[t] * new + (1 - mask[t]) * h[t]
    dU, dW = np.zeros_like(U), np.zeros_like(W)
    e = h[T] @ V - y
    dV = h[T].T @ e
    dh = e @ V.T
    for t in reversed(range(T)):
        dz = dh * (1 - h[t + 1] ** 2)        # mistake: mask[t] missing
        dU += x[t].T @ dz
        dW += h[t].T @ dz
        dh = dz @ W.T + (1 - mask[t]) * dh
    return dU, dW, dV

import torch
from rnn_torch.networks import network, targets, tokens

@network(x="time batch n_in", lengths=tokens("batch", below="time"), y=targets("batch n_out"),
         U="n_in hidden", W="hidden hidden", V="hidden n_out")
def masked(x, lengths, y, U, W, V):
    h = x.new_zeros(x.shape[1], W.shape[0])
    for t in range(len(x)):
        m = (t < lengths).to(x.dtype)[:, None]
        h = m * torch.tanh(x[t] @ U + h @ W) + (1 - m) * h
        yield 0.5 * ((h @ V - y) ** 2).sum() * (t == len(x) - 1)
