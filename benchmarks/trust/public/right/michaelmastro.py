"""MichaelMastro/Batched-Gated-Recurrent-Unit, Python 2: biases are the first row."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream


@network(
    X="time batch D",
    WGRU="1+D+H 3*H",
    h0="batch H",
    dh=upstream("time batch H"),
)
def gru(X, WGRU, h0, dh):
    h, n = h0, h0.shape[1]
    for x, error in zip(X, dh, strict=True):
        one = torch.ones(len(x), 1)
        z, r = torch.sigmoid(torch.cat([one, x, h], 1) @ WGRU[:, : 2 * n]).chunk(2, 1)
        h = (1 - z) * h + z * torch.tanh(torch.cat([one, x, r * h], 1) @ WGRU[:, 2 * n :])
        yield (h * error).sum()


PASSES = [
    Pass(
        name="MichaelMastro",
        repository="MichaelMastro/Batched-Gated-Recurrent-Unit",
        commit="cf88bb43d2f13331412bd88f05d471aa4d34a5d2",
        path="GRU.py",
        function="gru",
        network="gru",
        verdict="agrees",
    )
]
