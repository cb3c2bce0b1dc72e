"""VahidNaghashi/LSTM-from-scratch: min-char-rnn as an LSTM."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, tokens


@network(
    inputs=tokens("time", below="vocab_size"),
    targets=tokens("time", below="vocab_size"),
    hprev="hidden_size 1",
    cprev="hidden_size 1",
    Wf="hidden_size hidden_size+vocab_size", Wu="hidden_size hidden_size+vocab_size",
    Wc="hidden_size hidden_size+vocab_size", Wo="hidden_size hidden_size+vocab_size",
    Wy="vocab_size hidden_size",
    bf="hidden_size 1", bu="hidden_size 1", bc="hidden_size 1", bo="hidden_size 1",
    by="vocab_size 1",
)  # fmt: skip
def char_lstm(inputs, targets, hprev, cprev, Wf, Wu, Wc, Wo, Wy, bf, bu, bc, bo, by):
    h, c = hprev, cprev
    for x, y in zip(inputs, targets, strict=True):
        z = torch.cat([h, torch.eye(len(by))[:, [x]]])
        f, u, o = (torch.sigmoid(W @ z + b) for W, b in ((Wf, bf), (Wu, bu), (Wo, bo)))
        c = f * c + u * torch.tanh(Wc @ z + bc)
        h = o * torch.tanh(c)
        yield -torch.log_softmax(Wy @ h + by, 0)[y, 0]


PASSES = [
    Pass(
        name="VahidNaghashi",
        repository="VahidNaghashi/LSTM-from-scratch",
        commit="6769c14b609f196888545def8bde7656267c7a25",
        path="LSTM_char.py",
        function="lossFun",
        network="char_lstm",
        flags="--definitions-only",
        wrong=((73,),),
        on_purpose=(91, 92),
    )
]
