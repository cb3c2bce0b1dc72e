"""Sets of mistakes in three passes of a tanh network.

Dictionaries of columns, one character a step; a class that keeps its states in lists; all sums
over time and batch after the loop, with the batch first.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from bptt_check.subjects import network_named
from rnn_torch.networks import network, stock, upstream
from tests.passes.sets.form import Pass

EXAMPLES = Path(__file__).parents[3] / "examples"


@network(
    x="batch time n_in",
    h0="batch hidden",
    Wx="n_in hidden",
    Wh="hidden hidden",
    b="hidden",
    dh=upstream("batch time hidden"),
)
def layer(x: Tensor, h0: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor, dh: Tensor) -> Iterator[Tensor]:
    """A layer with the batch first; its upstream gradient is given."""
    h = h0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ Wx + h @ Wh + b)
        yield (h * dh[:, t]).sum()


DICTIONARIES = Pass(
    "tanh: dictionaries of columns",
    network_named(f"{EXAMPLES / 'char_rnn.py'}:char_rnn"),
    """
def loss_fun(inputs, targets, hprev, Wxh, Whh, Why, bh, by):
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    for t in range(len(inputs)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys - np.max(ys))
        ps[t] /= np.sum(ps[t])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return dWxh, dWhh, dWhy, dbh, dby
""",
    r"""
whh: np.dot(Whh.T, dhraw) => np.dot(Whh, dhraw)
  ~ Whh.* not transposed
undifferentiated: np.dot(Whh.T, dhraw) => np.dot(Whh.T, dh)
  ~ -> h_\(t-1\) takes the gradient of h_t|h.* from the next step .*without the derivative
square: (1 - hs[t] * hs[t]) * dh => (1 - hs[t]) * dh
  ~ tanh.* 1 - v, with v its value
twice: (1 - hs[t] * hs[t]) * dh => (1 - np.tanh(hs[t]) ** 2) * dh
  ~ tanh'\(v\), with v its value|tanh'\(h_t\)
current: np.dot(dhraw, hs[t - 1].T) => np.dot(dhraw, hs[t].T)
  ~ dWhh takes h_t\b
by: dby += dy => dby = dy
  ~ dby .*(overwritten|only the (first|last) step)
why: np.dot(dy, hs[t].T) => np.dot(dy, hs[t - 1].T)
  ~ dWhy takes h_\(t-1\)
jacobian: dy[targets[t]] -= 1 => dy[targets[t]] -= 1; dy = dy * ps[t] * (1 - ps[t])
  ~ multiplied by p \(1 - p\)
target: dy[targets[t]] -= 1 => dy[targets[t - 1]] -= 1
  ~ target.* previous step
bh: dbh += dhraw => dbh += dh
  ~ (-> bh|dbh) takes the gradient of h_t
carry: np.dot(Why.T, dy) + dhnext => np.dot(Why.T, dy)
  ~ no error is passed back through (every state|h)\b|@ h -> h_\(t-1\) is cut
  ~ lacks the gradient of h_t from the next step
wxh: dWxh += np.dot => dWxh = np.dot
  ~ dWxh .*(overwritten|only the (first|last) step)
first: dWhh += np.dot( => dWhh += (t > 0) * np.dot(
  ~ dWhh (lacks the first step|takes h_\(t-1\) zero at the first step)
""",
    """
    whh why
    square current by
    carry wxh
    undifferentiated first bh jacobian
    twice target
    """,
)

CLASS = Pass(
    "tanh: a class, lists of states",
    stock("tanh", loss="squared"),
    """
class RNN:
    def __init__(self, U, W, b, V, c):
        self.U, self.W, self.b, self.V, self.c = U, W, b, V, c

    def forward(self, x, h_0):
        self.x, self.states, self.outputs = x, [h_0], []
        for x_t in x:
            h = np.tanh(x_t @ self.U + self.states[-1] @ self.W + self.b)
            self.states.append(h)
            self.outputs.append(h @ self.V + self.c)

    def backward(self, y):
        dU, dW, db = np.zeros_like(self.U), np.zeros_like(self.W), np.zeros_like(self.b)
        dV, dc = np.zeros_like(self.V), np.zeros_like(self.c)
        delta, dx = np.zeros_like(self.states[0]), []
        for t in range(len(self.x) - 1, -1, -1):
            h_prev, h = self.states[t], self.states[t + 1]
            error = self.outputs[t] - y[t]
            dV += h.T @ error
            dc += error.sum(axis=0)
            dh = error @ self.V.T + delta @ self.W.T
            delta = dh * (1 - h**2)
            dU += self.x[t].T @ delta
            dW += h_prev.T @ delta
            db += delta.sum(axis=0)
            dx.insert(0, delta @ self.U.T)
        dh_0 = delta @ self.W.T
        return {"dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc, "dx": np.array(dx), "dh_0": dh_0}

def gradients(x, h_0, U, W, b, y, V, c):
    rnn = RNN(U, W, b, V, c)
    rnn.forward(x, h_0)
    return rnn.backward(y)
""",
    r"""
transpose: self.V.T + delta @ self.W.T => self.V.T + delta @ self.W
  ~ W .*not transposed
dc: dc += error.sum(axis=0) => dc += error.mean(axis=0)
  ~ dc is (divided by (the )?batch|the gradient divided by batch|the mean over the batch)
sign: self.outputs[t] - y[t] => y[t] - self.outputs[t]
  ~ (every gradient|-> .*c) has the wrong sign|d[Vc] is -1 times
half: self.outputs[t] - y[t] => 2 * (self.outputs[t] - y[t])
  ~ every gradient is doubled|c is counted twice|d[Vc] is 2 times
batch: self.outputs[t] - y[t] => (self.outputs[t] - y[t]) / len(y[t])
  ~ every gradient is divided by the batch|d[Vc] is the gradient divided by batch
previous: 1 - h**2 => 1 - h_prev**2
  ~ tanh.* 1 - v\^2, with v h_\(t-1\)
input: self.x[t].T @ delta => self.x[t - 1].T @ delta
  ~ dU takes x_t of the previous step
current: h_prev.T @ delta => h.T @ delta
  ~ dW takes h_t\b
initial: dh_0 = delta @ self.W.T => dh_0 = dh
  ~ gradient of h_1 is returned|dh_0 .*gradient of h_1
no_initial: dh_0 = delta @ self.W.T => dh_0 = np.zeros_like(dh)
  ~ dh_0 is zero|at the first step the path h @ W -> h_\(t-1\) is cut
db: db += delta.sum(axis=0) => db += dh.sum(axis=0)
  ~ (-> b|db) takes the gradient of h_t
db_last: db += delta.sum(axis=0) => db = delta.sum(axis=0)
  ~ db .*(overwritten|only the (first|last) step)
reversed: dx.insert(0, delta @ self.U.T) => dx.append(delta @ self.U.T)
  ~ dx .*reversed
dx: dx.insert(0, delta @ self.U.T) => dx.insert(0, dh @ self.U.T)
  ~ (-> x_t|dx) takes the gradient of h_t
""",
    """
    transpose dc
    previous input no_initial
    half current db_last
    sign reversed
    batch db initial dx current
    """,
)

EINSUM = Pass(
    "tanh: sums over time and batch at once",
    layer,
    """
def rnn_backward(x, h0, Wx, Wh, b, dh):
    N, T, D = x.shape
    h = np.zeros((N, T + 1, h0.shape[1]))
    h[:, 0] = h0
    for t in range(T):
        h[:, t + 1] = np.tanh(x[:, t] @ Wx + h[:, t] @ Wh + b)
    prev, now = h[:, :-1], h[:, 1:]
    da, dprev = np.zeros_like(now), np.zeros_like(h0)
    for t in reversed(range(T)):
        dht = dh[:, t] + dprev
        da[:, t] = dht * (1 - now[:, t] ** 2)
        dprev = da[:, t] @ Wh.T
    dx = da @ Wx.T
    dWx = np.einsum("ntd,nth->dh", x, da)
    dWh = np.einsum("nth,ntk->hk", prev, da)
    db = da.sum(axis=(0, 1))
    dh0 = dprev
    return dx, dh0, dWx, dWh, db
""",
    r"""
transposed: "nth,ntk->hk" => "nth,ntk->kh"
  ~ dWh is transposed
now: prev, da) => now, da)
  ~ dWh takes h_t\b
db: da.sum(axis=(0, 1)) => da.mean(axis=0).sum(axis=0)
  ~ db is (divided by (the )?batch|the gradient divided by batch|the mean over the batch)
db_time: da.sum(axis=(0, 1)) => da[:, -1].sum(axis=0)
  ~ db has only the last step
twice: dprev = da[:, t] @ Wh.T => dprev = (da[:, t] @ Wh.T) * (1 - prev[:, t] ** 2)
  ~ -> h_\(t-1\) .*(multiplied by|derivative).*(h_\(t-1\)|twice)
  ~ derivative of h_t.* (twice|squared)
upstream: dh[:, t] + dprev => dh[:, t - 1] + dprev
  ~ dh\[:, t\] of the previous step
carry: dh[:, t] + dprev => dh[:, t]
  ~ no error is passed back through (every state|h)\b|@ Wh -> h_\(t-1\) is cut
  ~ lacks the gradient of h_t from the next step|takes dh\[:, t\] for the gradient of h_t
piled: dprev = da[:, t] @ Wh.T => dprev = dprev + da[:, t] @ Wh.T
  ~ never reset|of it and all later steps
dx: dx = da @ Wx.T => dx = (dh * (1 - now**2)) @ Wx.T
  ~ dx takes the error of the loss at its own step only|h @ Wh is cut|no error is passed back
dh0: dh0 = dprev => dh0 = da[:, 0]
  ~ (first step|one step:) the derivative of h @ Wh with respect to h_\(t-1\) is left out
  ~ gradient of .* at the first step is returned
at_h: (1 - now[:, t] ** 2) => (1 - np.tanh(now[:, t]) ** 2)
  ~ tanh'\(v\), with v its value|tanh'\(h_t\)
mean: "ntd,nth->dh", x, da) => "ntd,nth->dh", x, da) / T
  ~ dWx is (divided by the number of steps|the mean over the steps|the gradient divided by time)
first: prev, da) => prev[:, 1:], da[:, 1:])
  ~ dWh (lacks the first step|takes h_\(t-1\) zero at the first step)
zero: h[:, 0] = h0 => h[:, 0] = 0
  ~ initial state h0 is (ignored|zero)
""",
    """
    transposed db zero
    carry now mean
    upstream dh0 piled
    at_h db_time first dx
    twice transposed mean db
    """,
)

PASSES = (DICTIONARIES, CLASS, EINSUM)
