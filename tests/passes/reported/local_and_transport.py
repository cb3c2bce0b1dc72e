import numpy as np


def backward(x, h_0, U, W, b, y):
    h = [h_0]
    for x_t in x:
        h.append(np.tanh(x_t @ U + h[-1] @ W + b))
    dU, dW, db = 0 * U, 0 * W, 0 * b
    for t in reversed(range(len(x))):
        dz = y[t] * (1 - h[t + 1])  # wrong: 1 - h^2; and nothing comes back from t + 1
        dU += x[t].T @ dz
        dW += h[t - 1].T @ dz  # wrong: h[t]
        db += dz.sum(0)
    return {"dU": dU, "dW": dW, "db": db}
