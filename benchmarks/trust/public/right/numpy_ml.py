"""ddbourgin/numpy-ml: cells, which take one step at a time."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream

HERE = {
    "repository": "ddbourgin/numpy-ml",
    "commit": "b0359af5285fbf9699d64fd5ec059493228af03e",
    "path": "numpy_ml/neural_nets/layers/layers.py",
    "verdict": "agrees",
}


@network(
    X="time batch n_in",
    Waa="n_out n_out",
    Wax="n_in n_out",
    ba="n_out 1",
    bx="n_out 1",
    dLdA=upstream("time batch n_out"),
)
def rnn(X, Waa, Wax, ba, bx, dLdA):
    a = torch.zeros(X.shape[1], len(ba))
    for x, error in zip(X, dLdA, strict=True):
        a = torch.tanh(a @ Waa + ba.T + x @ Wax + bx.T)
        yield (a * error).sum()


@network(
    X="time batch n_in",
    Wf="n_out+n_in n_out", Wu="n_out+n_in n_out", Wc="n_out+n_in n_out", Wo="n_out+n_in n_out",
    bf="1 n_out", bu="1 n_out", bc="1 n_out", bo="1 n_out",
    dLdA=upstream("time batch n_out"),
)  # fmt: skip
def lstm(X, Wf, Wu, Wc, Wo, bf, bu, bc, bo, dLdA):
    a = c = torch.zeros(X.shape[1], bf.shape[1])
    for x, error in zip(X, dLdA, strict=True):
        z = torch.cat([a, x], 1)
        f, u, o = (torch.sigmoid(z @ W + b) for W, b in ((Wf, bf), (Wu, bu), (Wo, bo)))
        c = f * c + u * torch.tanh(z @ Wc + bc)
        a = o * torch.tanh(c)
        yield (a * error).sum()


PASSES = [
    Pass(name="numpy-ml-RNN", function="rnn", network="rnn", **HERE),
    Pass(name="numpy-ml-LSTM", function="lstm", network="lstm", **HERE),
]
