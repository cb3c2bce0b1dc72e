"""Sets of mistakes in three passes of two layers.

Dictionaries of columns, one character a step; a class for a layer, whose mistakes are made in both;
an LSTM over a tanh layer in one loop.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rnn_torch.networks import network, targets, tokens
from tests.passes.sets.form import Pass


@network(
    inputs=tokens("time", below="vocab"),
    targets=tokens("time", below="vocab"),
    Wx1="hidden vocab",
    Wh1="hidden hidden",
    b1="hidden 1",
    Wx2="hidden hidden",
    Wh2="hidden hidden",
    b2="hidden 1",
    Wy="vocab hidden",
    by="vocab 1",
)
def characters(inputs: Tensor, targets: Tensor, **w: Tensor) -> Iterator[Tensor]:
    """Two tanh layers of one size, from zero states, and a softmax of the next character."""
    h1 = h2 = torch.zeros_like(w["b1"])
    for x, y in zip(inputs, targets, strict=True):
        h1 = torch.tanh(w["Wx1"][:, [x]] + w["Wh1"] @ h1 + w["b1"])
        h2 = torch.tanh(w["Wx2"] @ h1 + w["Wh2"] @ h2 + w["b2"])
        yield -torch.log_softmax(w["Wy"] @ h2 + w["by"], 0)[y, 0]


@network(
    x="time batch n_in",
    y=targets("time batch n_out"),
    s_1="batch hidden",
    s_2="batch hidden",
    A_1="n_in hidden",
    R_1="hidden hidden",
    b_1="hidden",
    A_2="hidden hidden",
    R_2="hidden hidden",
    b_2="hidden",
    V="hidden n_out",
    c="n_out",
)
def stacked(x: Tensor, y: Tensor, s_1: Tensor, s_2: Tensor, **w: Tensor) -> Iterator[Tensor]:
    """Two tanh layers of one size, initial states s; half the squared error."""
    for x_t, y_t in zip(x, y, strict=True):
        s_1 = torch.tanh(x_t @ w["A_1"] + s_1 @ w["R_1"] + w["b_1"])
        s_2 = torch.tanh(s_1 @ w["A_2"] + s_2 @ w["R_2"] + w["b_2"])
        yield 0.5 * ((s_2 @ w["V"] + w["c"] - y_t) ** 2).sum()


@network(
    x="time batch n_in",
    y=targets("time batch n_out"),
    U1="n_in hidden",
    W1="hidden hidden",
    b1="hidden",
    U2="hidden 4*hidden",
    W2="hidden 4*hidden",
    b2="4*hidden",
    V="hidden n_out",
    b="n_out",
)
def lstm_over_tanh(x: Tensor, y: Tensor, **w: Tensor) -> Iterator[Tensor]:
    """A tanh layer k below an LSTM, from zero states; half the squared error."""
    k = h = c = x.new_zeros(x.shape[1], len(w["W1"]))
    for x_t, y_t in zip(x, y, strict=True):
        k = torch.tanh(x_t @ w["U1"] + k @ w["W1"] + w["b1"])
        a_i, a_f, a_g, a_o = (k @ w["U2"] + h @ w["W2"] + w["b2"]).chunk(4, 1)
        c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        h = torch.sigmoid(a_o) * torch.tanh(c)
        yield 0.5 * ((h @ w["V"] + w["b"] - y_t) ** 2).sum()


DICTIONARIES = Pass(
    "two layers: dictionaries of columns",
    characters,
    """
def bptt(inputs, targets, Wx1, Wh1, b1, Wx2, Wh2, b2, Wy, by):
    h1, h2, p = {-1: np.zeros_like(b1)}, {-1: np.zeros_like(b2)}, {}
    for t in range(len(inputs)):
        h1[t] = np.tanh(Wx1[:, [inputs[t]]] + Wh1 @ h1[t - 1] + b1)
        h2[t] = np.tanh(Wx2 @ h1[t] + Wh2 @ h2[t - 1] + b2)
        y = Wy @ h2[t] + by
        p[t] = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
    dWx1, dWh1, db1 = np.zeros_like(Wx1), np.zeros_like(Wh1), np.zeros_like(b1)
    dWx2, dWh2, db2 = np.zeros_like(Wx2), np.zeros_like(Wh2), np.zeros_like(b2)
    dWy, dby = np.zeros_like(Wy), np.zeros_like(by)
    dh1next, dh2next = np.zeros_like(b1), np.zeros_like(b2)
    for t in reversed(range(len(inputs))):
        dy = p[t].copy()
        dy[targets[t]] -= 1
        dWy += dy @ h2[t].T
        dby += dy
        dh2 = Wy.T @ dy + dh2next
        dz2 = dh2 * (1 - h2[t] ** 2)
        dWx2 += dz2 @ h1[t].T
        dWh2 += dz2 @ h2[t - 1].T
        db2 += dz2
        dh2next = Wh2.T @ dz2
        dh1 = Wx2.T @ dz2 + dh1next
        dz1 = dh1 * (1 - h1[t] ** 2)
        dWx1[:, [inputs[t]]] += dz1
        dWh1 += dz1 @ h1[t - 1].T
        db1 += dz1
        dh1next = Wh1.T @ dz1
    return dWx1, dWh1, db1, dWx2, dWh2, db2, dWy, dby
""",
    r"""
carry1: Wx2.T @ dz2 + dh1next => Wx2.T @ dz2
  ~ no error is passed back through (every state|h1)\b|@ h1 -> h1_\(t-1\) is cut
  ~ lacks the gradient of h1_t from the next step
down: dh1 = Wx2.T @ dz2 => dh1 = Wh2.T @ dz2
  ~ @ h1 -> h1_t takes Wh2
back: dh2next = Wh2.T @ dz2 => dh2next = Wh1.T @ dz2
  ~ @ h2 -> h2_\(t-1\) takes Wh1
slope: dh1 * (1 - h1[t] ** 2) => dh1 * (1 - h2[t] ** 2)
  ~ h1_t = tanh.* 1 - v\^2, with v h2_t
wh2: dz2 @ h2[t - 1].T => dz2 @ h1[t - 1].T
  ~ dWh2 takes h1_\(t-1\)
wx2: dz2 @ h1[t].T => dz2 @ h1[t - 1].T
  ~ dWx2 takes (h1_\(t-1\)|h1_t of the previous step)|-> Wx2 takes the next step's
linear: dh1 = Wx2.T @ dz2 => dh1 = Wx2.T @ dh2
  ~ @ h1 -> h1_t takes the gradient of h2_t|h2_t.* reaches h1_t without the derivative
turned: dh1 = Wx2.T @ dz2 => dh1 = Wx2 @ dz2
  ~ Wx2.* not transposed
turned2: dh2next = Wh2.T @ dz2 => dh2next = Wh2 @ dz2
  ~ Wh2.* not transposed
b1: db1 += dz1 => db1 += dh1
  ~ (-> b1|db1) takes the gradient of h1_t
wy: dy @ h2[t].T => dy @ h1[t].T
  ~ dWy takes h1_t
by: dby += dy => dby = dy
  ~ dby .*(overwritten|only the (first|last) step)
linear1: dh1next = Wh1.T @ dz1 => dh1next = Wh1.T @ dh1
  ~ @ h1 -> h1_\(t-1\) takes the gradient of h1_t|h1_t from the next step .*without the derivative
token: dWx1[:, [inputs[t]]] += dz1 => dWx1[:, [inputs[t - 1]]] += dz1
  ~ dWx1 takes the index of the previous step
carry2: Wy.T @ dy + dh2next => Wy.T @ dy
  ~ no error is passed back through (every state|h2)\b|@ h2 -> h2_\(t-1\) is cut
  ~ lacks the gradient of h2_t from the next step
wh1: dz1 @ h1[t - 1].T => dz1 @ h1[t].T
  ~ dWh1 takes h1_t\b
""",
    """
    carry1 wy back
    turned wx2
    slope wh2 by linear1
    linear turned2 b1
    carry2 down wh1 token
    """,
)

CLASS = Pass(
    "two layers: a class for a layer",
    stacked,
    """
class Layer:
    def __init__(self, W_in, W_rec, bias, state):
        self.W_in, self.W_rec, self.bias, self.state = W_in, W_rec, bias, state

    def forward(self, xs):
        self.xs, self.hs = xs, [self.state]
        for x in xs:
            self.hs.append(np.tanh(x @ self.W_in + self.hs[-1] @ self.W_rec + self.bias))
        return self.hs[1:]

    def backward(self, dhs):
        self.dW_in, self.dW_rec = np.zeros_like(self.W_in), np.zeros_like(self.W_rec)
        self.dbias = np.zeros_like(self.bias)
        carry, dxs = np.zeros_like(self.state), [None] * len(self.xs)
        for t in reversed(range(len(self.xs))):
            h_prev, h = self.hs[t], self.hs[t + 1]
            dz = (dhs[t] + carry) * (1 - h * h)
            self.dW_in += self.xs[t].T @ dz
            self.dW_rec += h_prev.T @ dz
            self.dbias += dz.sum(axis=0)
            dxs[t] = dz @ self.W_in.T
            carry = dz @ self.W_rec.T
        self.dstate = carry
        return dxs

def stack_gradients(x, y, s_1, s_2, A_1, R_1, b_1, A_2, R_2, b_2, V, c):
    first, second = Layer(A_1, R_1, b_1, s_1), Layer(A_2, R_2, b_2, s_2)
    tops = second.forward(first.forward(list(x)))
    errors = [h @ V + c - y_t for h, y_t in zip(tops, y)]
    dV = sum(h.T @ e for h, e in zip(tops, errors))
    dc = sum(e.sum(axis=0) for e in errors)
    d_tops = [e @ V.T for e in errors]
    d_middle = second.backward(d_tops)
    d_x = first.backward(d_middle)
    return {
        "x": np.array(d_x), "s_1": first.dstate, "s_2": second.dstate,
        "A_1": first.dW_in, "R_1": first.dW_rec, "b_1": first.dbias,
        "A_2": second.dW_in, "R_2": second.dW_rec, "b_2": second.dbias, "V": dV, "c": dc,
    }
""",
    r"""
turned: dz @ self.W_rec.T => dz @ self.W_rec
  ~ R_[12].* not transposed
current: h_prev.T @ dz => h.T @ dz
  ~ dR_[12] takes s_[12]_t\b
mean: dz.sum(axis=0) => dz.mean(axis=0)
  ~ db_[12] is (divided by (the )?batch|the gradient divided by batch|the mean over the batch)
skipped: first.backward(d_middle) => first.backward(d_tops)
  ~ -> s_1_t takes the gradient of s_2|s_1_t .*takes the gradient of s_2_t
batch: h @ V + c - y_t for => (h @ V + c - y_t) / len(h) for
  ~ every gradient is divided by the batch|d[Vc] is the gradient divided by batch
dv: h.T @ e for h, e in zip(tops, errors) => h.T @ e for h, e in zip(first.hs[1:], errors)
  ~ dV takes s_1_t
backwards: d_middle = second.backward(d_tops) => d_middle = second.backward(d_tops)[::-1]
  ~ s_1_t.* reversed|reversed in time
state: self.dstate = carry => self.dstate = dz
  ~ gradient of .*at the first step is returned
  ~ ^((at the first step|at one step:) )?the derivative of s_[12] @ .*R_[12].* is left out
square: (1 - h * h) => (1 - h)
  ~ tanh.* 1 - v, with v its value
own: dxs[t] = dz @ self.W_in.T => dxs[t] = (dhs[t] * (1 - h * h)) @ self.W_in.T
  ~ (-> s_1_t|-> x_t|dx).* (lacks|own step only|from the next step)
bypass: (dhs[t] + carry) * (1 - h * h) => dhs[t] * (1 - h * h) + carry
  ~ s_[12].* from the next step .*without the derivative
sign: h @ V + c - y_t for => y_t - h @ V - c for
  ~ every gradient has the wrong sign|-> .*c\"\] has the wrong sign|d[Vc] is -1 times
dc: sum(e.sum(axis=0) for e in errors) => errors[-1].sum(axis=0)
  ~ dc has only the last step
exchanged: first.dstate, "s_2": second.dstate => second.dstate, "s_2": first.dstate
  ~ ds_1 and ds_2 are swapped|ds_1 is ds_2|ds_2 is ds_1
last: [e @ V.T for e in errors] => [e @ V.T * (e is errors[-1]) for e in errors]
  ~ only the last step's loss|replaces that of the loss|in place of that from its own step
carry: (dhs[t] + carry) => dhs[t]
  ~ no error is passed back through (every state|s_[12])\b
  ~ lacks the gradient of s_[12]_t from the next step
""",
    """
    turned dc
    mean dv backwards
    skipped current bypass
    batch state square carry
    sign last own exchanged mean
    """,
)

LSTM_OVER_TANH = Pass(
    "two layers: an LSTM over a tanh layer",
    lstm_over_tanh,
    """
def backprop(x, y, U1, W1, b1, U2, W2, b2, V, b):
    T, B, H = x.shape[0], x.shape[1], W1.shape[0]
    k, h, c = np.zeros((T + 1, B, H)), np.zeros((T + 1, B, H)), np.zeros((T + 1, B, H))
    gates = np.zeros((T, 4, B, H))
    for t in range(T):
        k[t + 1] = np.tanh(x[t] @ U1 + k[t] @ W1 + b1)
        a = k[t + 1] @ U2 + h[t] @ W2 + b2
        i, f, g, o = (a[:, n * H : (n + 1) * H] for n in range(4))
        gates[t] = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        i, f, g, o = gates[t]
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    dU1, dW1, db1 = np.zeros_like(U1), np.zeros_like(W1), np.zeros_like(b1)
    dU2, dW2, db2 = np.zeros_like(U2), np.zeros_like(W2), np.zeros_like(b2)
    dV, db = np.zeros_like(V), np.zeros_like(b)
    dk_next, dh_next, dc_next = np.zeros((B, H)), np.zeros((B, H)), np.zeros((B, H))
    for t in range(T)[::-1]:
        i, f, g, o = gates[t]
        e = h[t + 1] @ V + b - y[t]
        dV += h[t + 1].T @ e
        db += e.sum(0)
        dh = e @ V.T + dh_next
        tc = np.tanh(c[t + 1])
        do = dh * tc
        dc = dh * o * (1 - tc**2) + dc_next
        di, df, dg = dc * g, dc * c[t], dc * i
        da = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]
        da = np.concatenate(da, axis=1)
        dU2 += k[t + 1].T @ da
        dW2 += h[t].T @ da
        db2 += da.sum(0)
        dk = da @ U2.T + dk_next
        dh_next = da @ W2.T
        dc_next = dc * f
        dz = dk * (1 - k[t + 1] ** 2)
        dU1 += x[t].T @ dz
        dW1 += k[t].T @ dz
        db1 += dz.sum(0)
        dk_next = dz @ W1.T
    return dU1, dW1, db1, dU2, dW2, db2, dV, db
""",
    r"""
down: dk = da @ U2.T => dk = da @ W2.T
  ~ -> k_t takes W2
dk: da @ U2.T + dk_next => da @ U2.T
  ~ no error is passed back through (every state|k)\b|@ .*W1.* -> k_\(t-1\) is cut
  ~ lacks the gradient of k_t from the next step
forget: dc_next = dc * f => dc_next = dc
  ~ \* c with respect to c_\(t-1\) is left out|c_\(t-1\) takes the gradient of c_t
cell: (1 - tc**2) + dc_next => (1 - tc**2)
  ~ no error is passed back through (every state|c)\b|\* c -> c_\(t-1\) is cut
  ~ lacks the gradient of c_t from the next step
u2: k[t + 1].T @ da => k[t].T @ da
  ~ dU2 takes (k_\(t-1\)|k_t of the previous step)
w1: k[t].T @ dz => k[t + 1].T @ dz
  ~ dW1 takes k_t\b
swap: dc * g, dc * c[t], dc * i => dc * i, dc * c[t], dc * g
  ~ swapped|-> torch\.sigmoid\(a_i\) is multiplied by torch\.sigmoid\(a_i\)
  ~ -> torch\.tanh\(a_g\) is multiplied by torch\.tanh\(a_g\)|own factor
tc: dh * o * (1 - tc**2) => dh * o
  ~ derivative of torch\.tanh\(c\) with.* left out
turned: dz @ W1.T => dz @ W1
  ~ W1.* not transposed
b1: db1 += dz.sum(0) => db1 += dk.sum(0)
  ~ (-> b1|db1) takes the gradient of k_t
dh: e @ V.T + dh_next => e @ V.T
  ~ no error is passed back through (every state|h)\b|@ .*W2.* -> h_\(t-1\) is cut
  ~ lacks the gradient of h_t from the next step
order: dg * (1 - g**2), do * o * (1 - o) => do * o * (1 - o), dg * (1 - g**2)
  ~ gates are (concatenated as|in the order) .*o, (a_)?g, not
b2: db2 += da.sum(0) => db2 = da.sum(0)
  ~ db2 .*(overwritten|only the (first|last) step)
cells: dc * c[t], dc => dc * c[t + 1], dc
  ~ -> torch\.sigmoid\(a_f\) is multiplied by c_t
slope: (1 - k[t + 1] ** 2) => (1 - k[t] ** 2)
  ~ k_t = tanh.* 1 - v\^2, with v k_\(t-1\)
mean: db += e.sum(0) => db += e.mean(0)
  ~ db is (divided by (the )?batch|the gradient divided by batch|the mean over the batch)
dx: x[t].T @ dz => x[t - 1].T @ dz
  ~ dU1 takes x_t of the previous step
""",
    """
    down mean
    forget u2 cells
    dk b1 b2 slope
    cell swap w1 dh
    order turned tc dx
    """,
)

PASSES = (DICTIONARIES, CLASS, LSTM_OVER_TANH)
