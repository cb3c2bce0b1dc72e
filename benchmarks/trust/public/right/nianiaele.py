"""nianiaele/gru-cell-in-numpy: a cell without biases."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream


@network(
    x="time d",
    h="units",
    Wzh="units units", Wrh="units units", Wh="units units",
    Wzx="units d", Wrx="units d", Wx="units d",
    delta=upstream("time units"),
)  # fmt: skip
def gru(x, h, Wzh, Wrh, Wh, Wzx, Wrx, Wx, delta):
    for x_t, error in zip(x, delta, strict=True):
        z = torch.sigmoid(Wzh @ h + Wzx @ x_t)
        r = torch.sigmoid(Wrh @ h + Wrx @ x_t)
        h = (1 - z) * h + z * torch.tanh(Wh @ (r * h) + Wx @ x_t)
        yield (h * error).sum()


PASSES = [
    Pass(
        name="nianiaele",
        repository="nianiaele/gru-cell-in-numpy",
        commit="ca920dd3817cecebe4ca6c3ea64b908aef3b3597",
        path="gru.py",
        function="gru",
        network="gru",
        verdict="agrees",
    )
]
