"""Hand-written NumPy passes of an LSTM and a tanh network, and mistakes planted in their text."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from rnn_torch.networks import Problem, network, tokens

LSTM = """
def backward(x, y, h_0, c_0, U, W, b, V, c):
    T, B, _ = x.shape
    H = len(W)
    h, s, gates, p = {-1: h_0}, {-1: c_0}, {}, {}
    for t in range(T):
        z = x[t] @ U + h[t - 1] @ W + b
        i, f, o = (sigmoid(z[:, k * H : (k + 1) * H]) for k in (0, 1, 3))
        g = np.tanh(z[:, 2 * H : 3 * H])
        s[t] = f * s[t - 1] + i * g
        h[t] = o * np.tanh(s[t])
        gates[t] = i, f, g, o
        e = np.exp(h[t] @ V + c)
        p[t] = e / e.sum(axis=1, keepdims=True)
    dU, dW, db, dV, dc = (np.zeros_like(a) for a in (U, W, b, V, c))
    dh_next = np.zeros((B, H))
    ds_next = np.zeros((B, H))
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        dy = p[t].copy()
        dy[np.arange(B), y[t]] -= 1
        dV += h[t].T @ dy
        dc += dy.sum(axis=0)
        dh = dy @ V.T + dh_next
        ds = ds_next + dh * o * (1 - np.tanh(s[t]) ** 2)
        di, df, dg, do = ds * g, ds * s[t - 1], ds * i, dh * np.tanh(s[t])
        dz = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dU += x[t].T @ dz
        dW += h[t - 1].T @ dz
        db += dz.sum(axis=0)
        dh_next = dz @ W.T
        ds_next = ds * f
    return dict(U=dU, W=dW, b=db, V=dV, c=dc)
"""

#: what stands there, what is planted, a part of the sentence, a part of where in time
PLANTED = [
    ("ds = ds_next + dh", "ds = dh", "no error is passed back through c to the step before",
     "wrong one step back"),
    ("ds_next = ds * f", "ds_next = ds", "f * c with respect to c_(t-1) is left out",
     "gates i, f and g"),
    ("ds_next = ds * f", "ds_next = ds * i", "multiplied by i, not f", "wrong one step back"),
    ("df = ds * g, ds * s[t - 1]", "df = ds * g, ds * s[t]", "", ""),
    ("dh * np.tanh(s[t])\n", "dh * s[t]\n", "by c_t, not torch.tanh(c)", "gate o: wrong at"),
    ("do * o * (1 - o)", "do", "derivative of o with respect to z_o is left out", "gate o"),
    ("dg * (1 - g**2)", "dg * g * (1 - g)", "taken as v (1 - v)", "gate g: wrong at"),
    ("h[t - 1].T @ dz", "h[t].T @ dz", "dW takes h_t, not h_(t-1)", "only the sum for dW"),
    ("dz @ W.T", "dz @ W.reshape(4 * H, H)", "W is reshaped, not transposed", "one step back"),
    ("db += dz.sum", "db += dz.mean", "the mean over the batch", "only the sum for db"),
    ("dc += dy", "dc = dy", "dc is overwritten, not accumulated", "only the sum for dc"),
    ("        dy[np.arange(B), y[t]] -= 1\n", "", "lacks the -1 at the target", "at its own step"),
    ("sigmoid(z[:, k * H : (k + 1) * H]) for", "sigmoid(z[:, k * H : (k + 1) * H] + (k == 1)) for",
     "in the forward pass 1 is added to the argument of f", "at its own step"),
    ("np.hstack([di * i * (1 - i), df * f * (1 - f),",
     "np.hstack([df * f * (1 - f), di * i * (1 - i),",
     "concatenated as z_f, z_i, z_g, z_o", "gates i and f"),
    ("return dict(U=dU", "return dict(U=dU.clip(-0.2, 0.2)",
     "right, but clipped: dU is clipped to [-0.2, 0.2]", ""),
    ("ds * s[t - 1], ds * i", "ds + s[t - 1], ds * i", "c_(t-1) is added to the path", "gate f"),
    ("ds * s[t - 1], ds * i", "ds * c_0, ds * i", "multiplied by c_0, not c_(t-1)", "gate f"),
    ("di * i * (1 - i)", "di * i / (1 - i)", "taken as v / (1 - v), with v its value", "gate i"),
    ("di * i * (1 - i)", "c_0 * i * (1 - i)", "takes c_0 for the gradient of i", "gate i"),
    ("reversed(range(T))", "range(T)", "the backward pass runs forward in time", ""),
    ("ds_next = np.zeros(", "ds_next = np.ones(", "through c starts from 1, not 0", ""),
    ("dz @ W.T", "dz @ dW.T", "takes dW as summed up to this step, not W", "wrong one step back"),
    ("e / e.sum(axis=1", "e / e.mean(axis=1", "divided by its mean, not by its sum", "at its own"),
    ("s[t] = f * s[t - 1] + i * g", "s[t] = f * s[t - 1] + i + g",
     "in the forward pass the factors of i * g are added, not multiplied", ""),
    ("do * o * (1 - o)", "do * o * (2 - o)", "taken as v (2 - v), with v its value", "gate o"),
    ("dV += h[t].T @ dy", "dV += h_0.T @ dy", "dV takes h_0, not h_t", "only the sum for dV"),
]  # fmt: skip


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def planted(right: str = "", wrong: str = "") -> Callable[[Problem], dict[str, Any]]:
    """The LSTM's pass with this mistake in its text, as a function for `locate`."""
    assert LSTM.count(right) == 1 or not right
    space: dict[str, Any] = {"np": np, "sigmoid": sigmoid}
    exec(LSTM.replace(right, wrong) if right else LSTM, space)
    return lambda problem: space["backward"](**{n: v.copy() for n, v in problem.values.items()})


@network(
    E="vocab hidden",
    W="hidden hidden",
    words=tokens("time batch", below="vocab"),
    y=tokens("time batch", below="hidden"),
    h_0="batch hidden",
)
def embedded(E: Any, W: Any, words: Any, y: Any, h_0: Any) -> Iterator[Any]:
    h = h_0
    for word, y_t in zip(words, y, strict=True):
        h = torch.tanh(E[word] + h @ W)
        yield torch.nn.functional.cross_entropy(h, y_t, reduction="sum")
