"""Regen2001/NumPy-RNN-LSTM: many numbers to one, so the loss is zero at all other steps."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, targets


@network(
    x=inputs("time 1"),
    y=targets("1 1"),
    W_ax="hidden 1",
    W_aa="hidden hidden",
    W_ya="1 hidden",
    b_a="hidden 1",
    b_y="1 1",
)
def rnn(x, y, W_ax, W_aa, W_ya, b_a, b_y):
    h = torch.zeros_like(b_a)
    for t, x_t in enumerate(x):
        h = torch.tanh(W_ax * x_t + W_aa @ h + b_a)
        yield 0.5 * ((W_ya @ h + b_y - y) ** 2).sum() * (t == len(x) - 1)


PASSES = [
    Pass(
        name="Regen2001",
        repository="Regen2001/NumPy-RNN-LSTM",
        commit="ae76a32f66000f3b1a6b981bd3ab1687ef15d736",
        path="model/RNN.py",
        function="rnn",
        network="rnn",
        wrong=((40,), (46,), (47,), (49,)),
        on_purpose=(51, 52, 53, 54, 55),
        beside=("model/NN.py", "model/ML.py"),
    )
]
