import numpy as np


def backward(x, y, U, W, V):  # sigmoid' written as exp(-z) / (1 + exp(-z))^2: inf / inf = nan where |z| is large; autograd's is finite
    h, z = np.zeros((len(x) + 1, *x.shape[1:-1], len(W))), []
    for t in range(len(x)):
        z.append(x[t] @ U + h[t] @ W)
        h[t + 1] = 1 / (1 + np.exp(-z[t]))
    dU, dW, dV, delta = 0 * U, 0 * W, 0 * V, 0 * h[0]
    for t in reversed(range(len(x))):
        o = 1 / (1 + np.exp(-h[t + 1] @ V))
        eps = (o - y[t]) * o * (1 - o)
        delta = (eps @ V.T + delta @ W.T) * np.exp(-z[t]) / (1 + np.exp(-z[t])) ** 2
        dU += x[t].T @ delta
        dW += h[t].T @ delta
        dV += h[t + 1].T @ eps
    return dU, dW, dV
