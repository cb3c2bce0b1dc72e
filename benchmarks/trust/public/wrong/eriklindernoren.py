"""eriklindernoren/ML-From-Scratch: a layer whose output has the size of its input.

Its `bptt_trunc` is made as long as the input."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream

FOLDER = "mlfromscratch/deep_learning"


@network(
    X="batch time n_in",
    U="hidden n_in",
    W="hidden hidden",
    V="n_in hidden",
    accum_grad=upstream("batch time n_in"),
)
def rnn(X, U, W, V, accum_grad):
    h = torch.zeros(len(X), len(W))
    for x_t, error in zip(X.unbind(1), accum_grad.unbind(1), strict=True):
        h = torch.tanh(x_t @ U.T + h @ W.T)
        yield (h @ V.T * error).sum()


PASSES = [
    Pass(
        name="eriklindernoren",
        repository="eriklindernoren/ML-From-Scratch",
        commit="a2806c6732eee8d27762edd6d864e0c179d8e9e8",
        path=f"{FOLDER}/layers.py",
        function="rnn",
        network="rnn",
        wrong=((181, 188),),
        beside=(f"{FOLDER}/activation_functions.py",),
    )
]
