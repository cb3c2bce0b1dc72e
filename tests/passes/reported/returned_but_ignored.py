import numpy as np
def sigmoid(z): return 1/(1+np.exp(-z))
def backward(x, h_0, c_0, W_x, W_h, bias, dy):
    """keras style: kernel (n_in, 4H), gates i f g o, upstream"""
    H = h_0.shape[1]; T = len(x)
    h, c = [h_0], [c_0]; st = []
    for t in range(T):
        z = x[t] @ W_x + h[-1] @ W_h + bias
        i, f, g, o = sigmoid(z[:, :H]), sigmoid(z[:, H:2*H]), np.tanh(z[:, 2*H:3*H]), sigmoid(z[:, 3*H:])
        c.append(f * c[-1] + i * g); h.append(o * np.tanh(c[-1])); st.append((i, f, g, o))
    dWx, dWh, db = np.zeros_like(W_x), np.zeros_like(W_h), np.zeros_like(bias)
    dh = np.zeros_like(h_0); dc = np.zeros_like(c_0)
    for t in reversed(range(T)):
        i, f, g, o = st[t]
        dh = dh + dy[t]
        tc = np.tanh(c[t+1])
        dc = dc + dh * o * (1 - tc**2)
        dz = np.concatenate([dc*g*i*(1-i), dc*c[t]*f*(1-f), dc*i*(1-g**2), dh*tc*o*(1-o)], 1)
        dWx += 7 * x[t].T @ dz; dWh += h[t+1].T @ dz; db += dz.sum(0)
        dh = dz @ W_h.T; dc = dc * f
    return dWx, dWh, db, dh, dc
