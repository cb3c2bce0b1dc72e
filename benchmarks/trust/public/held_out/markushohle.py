"""MarkusHohle/LSTM-from-Scratch: numbers to numbers, which get the gradients of the outputs."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, upstream


@network(
    X_t=inputs("time 1"),
    Wx="hidden 1",
    Wh="hidden hidden",
    Wy="1 hidden",
    biases="hidden 1",
    dvalues=upstream("time 1"),
)
def rnn(X_t, Wx, Wh, Wy, biases, dvalues):
    h = torch.zeros_like(biases)
    for x_t, error in zip(X_t, dvalues, strict=True):
        h = torch.tanh(Wx * x_t + Wh @ h + biases)
        yield (Wy @ h * error).sum()


PASSES = [
    Pass(
        name="MarkusHohle",
        repository="MarkusHohle/LSTM-from-Scratch",
        commit="4cf2a03eae637afa500815dd347d4a429a83a5b9",
        path="5 package/RNN.py",
        function="rnn",
        network="rnn",
        wrong=((182, 237), (241,), (244,)),
    )
]
