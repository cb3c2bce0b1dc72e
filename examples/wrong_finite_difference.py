"""Approximate: central differences, right to their truncation error only."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def loss(x, y, U, W, V):
    h, total = np.zeros((x.shape[1], len(W)), x.dtype), 0.0
    for x_t, y_t in zip(x, y, strict=True):
        h = sigmoid(x_t @ U + h @ W)
        total += 0.5 * ((sigmoid(h @ V) - y_t) ** 2).sum()
    return total


def backward(x, y, U, W, V, step=1e-5):
    weights = [w.copy() for w in (U, W, V)]
    gradients = [np.zeros_like(w) for w in weights]
    for w, gradient in zip(weights, gradients, strict=True):
        for index in np.ndindex(w.shape):
            kept = w[index]
            w[index] = kept + step
            above = loss(x, y, *weights)
            w[index] = kept - step
            below = loss(x, y, *weights)
            w[index] = kept
            gradient[index] = (above - below) / (2 * step)
    return gradients
