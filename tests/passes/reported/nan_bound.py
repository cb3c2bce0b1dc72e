import numpy as np
import torch
from rnn_torch.networks import network, upstream


@network(x="time batch n", a="n n", w="n", dy=upstream("time batch n"))
def lru(x, a, w, dy):  # a gated linear recurrent unit: h_t = f h + sqrt(1 - f^2) w x_t, f = exp(-8 log(1 + exp(x_t a)))
    h = torch.zeros_like(x[0])
    for x_t, dy_t in zip(x, dy):
        f = torch.exp(-8 * torch.logaddexp(x_t @ a, torch.zeros_like(x_t)))
        h = f * h + torch.sqrt(1 - f * f) * w * x_t
        yield (h * dy_t).sum()


def backward(x, a, w, dy):
    z = x @ a
    f = np.exp(-8 * np.logaddexp(z, 0))
    r, h = np.sqrt(1 - f * f), [0 * x[0]]
    for t in range(len(x)):
        h.append(f[t] * h[-1] + r[t] * w * x[t])
    da, dw, dh = 0 * a, 0 * w, 0 * x[0]
    for t in reversed(range(len(x))):
        dh = dh + dy[t]
        df = dh * h[t] - dh * w * x[t] * f[t] / r[t]
        da += x[t].T @ (df * f[t] * -8 / (1 + np.exp(-z[t])))
        dw += (dh * r[t] * x[t]).sum(0)
        dh = dh * f[t]
    return {"da": da, "dw": dw}
