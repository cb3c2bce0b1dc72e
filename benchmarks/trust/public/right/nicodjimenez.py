"""nicodjimenez/lstm: h = s * o, without the last tanh."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, upstream


@network(
    x=inputs("time x_dim"),
    wg="cells x_dim+cells", wi="cells x_dim+cells", wf="cells x_dim+cells", wo="cells x_dim+cells",
    bg="cells", bi="cells", bf="cells", bo="cells",
    y=upstream("time cells"),
)  # fmt: skip
def lstm(x, wg, wi, wf, wo, bg, bi, bf, bo, y):
    h = s = torch.zeros(len(bg))
    for x_t, error in zip(x, y, strict=True):
        z = torch.cat([x_t, h])
        i, f, o = (torch.sigmoid(w @ z + b) for w, b in ((wi, bi), (wf, bf), (wo, bo)))
        s = torch.tanh(wg @ z + bg) * i + s * f
        h = s * o
        yield (h * error).sum()


PASSES = [
    Pass(
        name="nicodjimenez",
        repository="nicodjimenez/lstm",
        commit="a2f2e99cb48acee421d5ba3a084af63131da10c6",
        path="lstm.py",
        function="lstm",
        network="lstm",
        verdict="agrees",
    )
]
