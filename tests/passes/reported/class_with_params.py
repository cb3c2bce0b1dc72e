import numpy as np

class TwoLayerRNN:
    def __init__(self, n_in, hidden):
        self.params = {"U1": np.zeros((n_in, hidden)), "W1": np.zeros((hidden, hidden)),
                       "U2": np.zeros((hidden, hidden)), "W2": np.zeros((hidden, hidden))}

    def loss(self, x, y):
        p = self.params
        T, B, _ = x.shape
        H = p["W1"].shape[0]
        h1 = np.zeros((T + 1, B, H)); h2 = np.zeros((T + 1, B, H))
        loss = 0
        for t in range(T):
            h1[t] = np.tanh(x[t] @ p["U1"] + h1[t - 1] @ p["W1"])
            h2[t] = np.tanh(h1[t] @ p["U2"] + h2[t - 1] @ p["W2"])
            loss += 0.5 * ((h2[t] - y[t]) ** 2).sum()
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        d1 = np.zeros((B, H)); d2 = np.zeros((B, H))
        for t in reversed(range(T)):
            e2 = (h2[t] - y[t] + d2) * (1 - h2[t] ** 2)
            e1 = (d1 + e2 @ p["U2"]) * (1 - h1[t] ** 2)      # mistake: U2 not transposed
            grads["U2"] += h1[t].T @ e2
            grads["W2"] += h2[t - 1].T @ e2
            grads["U1"] += x[t].T @ e1
            grads["W1"] += h1[t - 1].T @ e1
            d2 = e2 @ p["W2"].T
            d1 = e1 @ p["W1"].T
        return loss, grads

import torch
from rnn_torch.networks import network, targets

@network(x=targets("time batch n_in"), y=targets("time batch hidden"),
   U1="n_in hidden", W1="hidden hidden", U2="hidden hidden", W2="hidden hidden")
def two(x, y, U1, W1, U2, W2):
    h1 = h2 = torch.zeros_like(y[0])
    for x_t, y_t in zip(x, y):
        h1 = torch.tanh(x_t @ U1 + h1 @ W1)
        h2 = torch.tanh(h1 @ U2 + h2 @ W2)
        yield 0.5 * ((h2 - y_t) ** 2).sum()
