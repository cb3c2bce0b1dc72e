"""Exercises of courses: layers, which get the gradients of their outputs."""

import torch

from benchmarks.trust.public.form import Pass
from benchmarks.trust.public.wrong.kulbear import FILE
from rnn_torch.networks import inputs, network, upstream

CS231N = {
    "repository": "jariasf/CS231n",
    "commit": "306a3ac834b9a9501c36a63a568370084c167efe",
    "path": "assignment3/cs231n/rnn_layers.py",
    "flags": "--definitions-only",
    "verdict": "agrees",
}


@network(
    x="batch time D", h0="batch H", Wx="D H", Wh="H H", b="H", dh=upstream("batch time H")
)  # fmt: skip
def rnn(x, h0, Wx, Wh, b, dh):
    h = h0
    for x_t, error in zip(x.unbind(1), dh.unbind(1), strict=True):
        h = torch.tanh(x_t @ Wx + h @ Wh + b)
        yield (h * error).sum()


@network(
    x="batch time D", h0="batch H", Wx="D 4*H", Wh="H 4*H", b="4*H", dh=upstream("batch time H")
)  # fmt: skip
def lstm(x, h0, Wx, Wh, b, dh):
    h, c = h0, torch.zeros_like(h0)
    for x_t, error in zip(x.unbind(1), dh.unbind(1), strict=True):
        i, f, o, g = (x_t @ Wx + h @ Wh + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        yield (h * error).sum()


@network(
    x="n_x batch time",
    a0="n_a batch",
    Wax="n_a n_x", Waa="n_a n_a", ba="n_a 1",
    Wya=inputs("n_y n_a"), by=inputs("n_y 1"),
    da=upstream("n_a batch time"),
)  # fmt: skip
def rnn_in_columns(x, a0, Wax, Waa, ba, Wya, by, da):
    a = a0
    for x_t, error in zip(x.unbind(2), da.unbind(2), strict=True):
        a = torch.tanh(Wax @ x_t + Waa @ a + ba)
        yield (a * error).sum()


PASSES = [
    Pass(name="jariasf-RNN", function="rnn_forward,rnn_backward", network="rnn", **CS231N),
    Pass(name="jariasf-LSTM", function="lstm_forward,lstm_backward", network="lstm", **CS231N),
    Pass(
        name="Kulbear-RNN",
        repository="Kulbear/deep-learning-coursera",
        commit="997fdb2e2db67acd45d29ae418212463a54be06d",
        path=FILE,
        function="rnn_forward,rnn_backward",
        network="rnn_in_columns",
        flags="--definitions-only",
        verdict="agrees",
        beside=("Sequence Models/rnn_utils.py",),
    ),
]
