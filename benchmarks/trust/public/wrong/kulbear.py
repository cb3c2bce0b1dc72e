"""Kulbear/deep-learning-coursera, *Step by Step*: examples in columns, time last."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, upstream

FILE = "Sequence Models/Building a Recurrent Neural Network - Step by Step - v2.ipynb"


@network(
    x="n_x batch time",
    a0="n_a batch",
    Wf="n_a n_a+n_x", bf="n_a 1", Wi="n_a n_a+n_x", bi="n_a 1",
    Wc="n_a n_a+n_x", bc="n_a 1", Wo="n_a n_a+n_x", bo="n_a 1",
    Wy=inputs("n_y n_a"), by=inputs("n_y 1"),
    da=upstream("n_a batch time"),
)  # fmt: skip
def lstm(x, a0, Wf, bf, Wi, bi, Wc, bc, Wo, bo, Wy, by, da):
    a, c = a0, torch.zeros_like(a0)
    for x_t, da_t in zip(x.unbind(2), da.unbind(2), strict=True):
        z = torch.cat([a, x_t])
        f, i, o = (torch.sigmoid(W @ z + b) for W, b in ((Wf, bf), (Wi, bi), (Wo, bo)))
        c = f * c + i * torch.tanh(Wc @ z + bc)
        a = o * torch.tanh(c)
        yield (a * da_t).sum()


PASSES = [
    Pass(
        name="Kulbear-LSTM",
        repository="Kulbear/deep-learning-coursera",
        commit="997fdb2e2db67acd45d29ae418212463a54be06d",
        path=FILE,
        function="lstm_forward,lstm_backward",
        network="lstm",
        flags="--definitions-only",
        wrong=((1811, 1821),),
        beside=("Sequence Models/rnn_utils.py",),
    )
]
