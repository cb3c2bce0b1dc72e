"""oreilly-japan/deep-learning-from-scratch-2: the book's layers, of single precision."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream

HERE = {
    "repository": "oreilly-japan/deep-learning-from-scratch-2",
    "commit": "842ae31c2bb070f5116275606ed90396626a2c17",
    "path": "common/time_layers.py",
    "flags": "--dtype float32",
    "verdict": "agrees",
}


@network(xs="batch time D", Wx="D H", Wh="H H", b="H", dhs=upstream("batch time H"))
def rnn(xs, Wx, Wh, b, dhs):
    h = torch.zeros(len(xs), len(b))
    for x, error in zip(xs.unbind(1), dhs.unbind(1), strict=True):
        h = torch.tanh(x @ Wx + h @ Wh + b)
        yield (h * error).sum()


@network(xs="batch time D", Wx="D 4*H", Wh="H 4*H", b="4*H", dhs=upstream("batch time H"))
def lstm(xs, Wx, Wh, b, dhs):
    h = c = torch.zeros(len(xs), len(Wh))
    for x, error in zip(xs.unbind(1), dhs.unbind(1), strict=True):
        f, g, i, o = (x @ Wx + h @ Wh + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.tanh(g) * torch.sigmoid(i)
        h = torch.sigmoid(o) * torch.tanh(c)
        yield (h * error).sum()


PASSES = [
    Pass(name="oreilly-RNN", function="rnn", network="rnn", **HERE),
    Pass(name="oreilly-LSTM", function="lstm", network="lstm", **HERE),
]
