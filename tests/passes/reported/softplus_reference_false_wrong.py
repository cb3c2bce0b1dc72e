import torch, numpy as np
from rnn_torch.networks import network, targets

@network(x="time n_in", y=targets("time hidden"), U="hidden n_in", W="hidden hidden")
def net(x, y, U, W):
    h = torch.zeros(len(U))
    for x_t, y_t in zip(x, y):
        z = U @ x_t + W @ h
        h = torch.tanh(z)
        yield (torch.nn.functional.softplus(z) - y_t * z).sum()

def backward(x, y, U, W):
    hs, zs = [np.zeros(len(U))], []
    for x_t in x:
        zs.append(U @ x_t + W @ hs[-1]); hs.append(np.tanh(zs[-1]))
    dU, dW, dh = 0 * U, 0 * W, 0 * hs[0]
    for t in reversed(range(len(x))):
        dz = 1 / (1 + np.exp(-zs[t])) - y[t] + dh * (1 - hs[t + 1] ** 2)
        dU += np.outer(dz, x[t]); dW += np.outer(dz, hs[t]); dh = W.T @ dz
    return dU, dW
