"""revsic/numpy-rnn: many to one, so the loss is zero at all other steps."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, tokens


@network(
    Xt=inputs("time batch n_in"),
    Y=tokens("batch", below="n_out"),
    wf="n_in+hidden hidden", wi="n_in+hidden hidden", wo="n_in+hidden hidden",
    wc="n_in+hidden hidden", wy="hidden n_out",
    bf="hidden", bi="hidden", bo="hidden", bc="hidden", by="n_out",
)  # fmt: skip
def lstm(Xt, Y, wf, wi, wo, wc, wy, bf, bi, bo, bc, by):
    h = c = torch.zeros(len(Y), len(bf))
    for t, x_t in enumerate(Xt):
        x = torch.cat([x_t, h], 1)
        f, i, o = (torch.sigmoid(x @ w + b) for w, b in ((wf, bf), (wi, bi), (wo, bo)))
        c = f * c + i * torch.tanh(x @ wc + bc)
        h = o * torch.tanh(c)
        loss = -torch.log_softmax(h @ wy + by, 1).gather(1, Y[:, None]).sum()
        yield loss * (t == len(Xt) - 1)


PASSES = [
    Pass(
        name="revsic",
        repository="revsic/numpy-rnn",
        commit="9535c60be686f4fb6f8a4e08080acbce748c92ee",
        path="LSTM_numpy.ipynb",
        function="lstm",
        network="lstm",
        wrong=((299,),),
    )
]
