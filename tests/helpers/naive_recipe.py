"""The recipe as a script would have it: one loop, one weight update, nothing from the packages.

What both train commands are compared with. (The classic script prints sum |o - y| and descends
1/2 sum (o - y)^2; this one only descends.)
"""

from typing import Any

import numpy as np

Array = np.typing.NDArray[Any]


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def train(
    seed: int, iterations: int, bits: int = 8, hidden: int = 16, learning_rate: float = 0.1
) -> tuple[Array, Array, Array]:
    rng = np.random.RandomState(seed)
    U, W, V = rng.randn(2, hidden), rng.randn(hidden, hidden), rng.randn(hidden, 1)
    for _ in range(iterations):
        a, b = rng.randint(2 ** (bits - 1)), rng.randint(2 ** (bits - 1))
        dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
        h = [np.zeros((1, hidden))]
        eps = []
        for t in range(bits):
            x = np.array([[a >> t & 1, b >> t & 1]])
            h.append(sigmoid(x @ U + h[-1] @ W))
            o = sigmoid(h[-1] @ V)
            eps.append((o - (a + b >> t & 1)) * o * (1 - o))
        delta = np.zeros((1, hidden))
        for t in reversed(range(bits)):
            x = np.array([[a >> t & 1, b >> t & 1]])
            delta = (eps[t] @ V.T + delta @ W.T) * h[t + 1] * (1 - h[t + 1])
            dU += x.T @ delta
            dW += h[t].T @ delta
            dV += h[t + 1].T @ eps[t]
        U -= learning_rate * dU
        W -= learning_rate * dW
        V -= learning_rate * dV
    return U, W, V
