import numpy as np

E = np.zeros((10, 4)); U = np.zeros((4, 5)); W = np.zeros((5, 5)); V = np.zeros((5, 10)); b = np.zeros(5); c = np.zeros(10)


def loss_and_grad(tokens, labels):
    """tokens, labels: (batch, time) ints, mean cross-entropy over everything"""
    B, T = tokens.shape
    e = E[tokens]
    h = [np.zeros((B, W.shape[0]))]
    loss = 0
    dz_out = []
    for t in range(T):
        h.append(np.tanh(e[:, t] @ U + h[-1] @ W + b))
        logits = h[-1] @ V + c
        p = np.exp(logits - logits.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        loss -= np.log(p[np.arange(B), labels[:, t]]).sum()
        p[np.arange(B), labels[:, t]] -= 1
        dz_out.append(p / (B * T))
    gE, gU, gW, gV, gb, gc = [np.zeros_like(a) for a in (E, U, W, V, b, c)]
    dh = 0
    for t in reversed(range(T)):
        gV += h[t + 1].T @ dz_out[t]
        gc += dz_out[t].sum(0)
        dh = dh + dz_out[t] @ V.T
        dz = dh * (1 - h[t + 1] ** 2)
        gU += e[:, t].T @ dz
        gW += h[t].T @ dz
        gb += dz.sum(0)
        gE[tokens[:, t]] += dz @ U.T      # classic mistake: += with repeated indices
        dh = dz @ W.T
    return loss / (B * T), dict(E=gE, U=gU, W=gW, V=gV, b=gb, c=gc)

import torch
import torch.nn.functional as F
from rnn_torch.networks import network, tokens as tok

@network(tokens=tok("batch time", below="vocab"), labels=tok("batch time", below="vocab"),
   E="vocab n_emb", U="n_emb hidden", W="hidden hidden", V="hidden vocab", b="hidden", c="vocab")
def lm(tokens, labels, E, U, W, V, b, c):
    B, T = tokens.shape
    h = torch.zeros(B, W.shape[0], dtype=W.dtype)
    for t in range(T):
        h = torch.tanh(F.embedding(tokens[:, t], E) @ U + h @ W + b)
        yield F.cross_entropy(h @ V + c, labels[:, t], reduction="sum") / (B * T)
