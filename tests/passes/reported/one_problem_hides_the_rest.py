import numpy as np


def backward(x, h_0, U, W, b, y):  # the code assumes two or more examples (squeeze); besides, W is not transposed
    h = [h_0]
    for x_t in x:
        h.append(np.tanh((x_t @ U + h[-1] @ W + b).squeeze()))
    dU, dW, db, dh = 0 * U, 0 * W, 0 * b, 0 * h_0
    for t in reversed(range(len(x))):
        dz = (y[t] + dh) * (1 - h[t + 1] ** 2)
        dU, dW, db = dU + x[t].T @ dz, dW + h[t].T @ dz, db + dz.sum(0)
        dh = dz @ W
    return {"dU": dU, "dW": dW, "db": db, "dh_0": dh}
