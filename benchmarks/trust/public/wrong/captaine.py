"""CaptainE/RNN-LSTM-in-numpy, an exercise with its solution; its activations add 1e-12."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, tokens

HERE = {
    "repository": "CaptainE/RNN-LSTM-in-numpy",
    "commit": "f0d2c883d6a0ee913bff9dae21162b9da494be00",
    "path": "RNN_LSTM_from_scratch.ipynb",
}


@network(
    x=tokens("time", below="vocab"),
    y=tokens("time", below="vocab"),
    U="hidden vocab",
    V="hidden hidden",
    W="vocab hidden",
    b_hidden="hidden 1",
    b_out="vocab 1",
)
def rnn(x, y, U, V, W, b_hidden, b_out):
    h = torch.zeros_like(b_hidden)
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(U[:, [x_t]] + V @ h + b_hidden)
        yield -torch.log_softmax(W @ h + b_out, 0)[y_t, 0]


@network(
    x=tokens("time", below="vocab"),
    y=tokens("time", below="vocab"),
    h=inputs("hidden 1"),
    c=inputs("hidden 1"),
    W_f="hidden hidden+vocab", W_i="hidden hidden+vocab", W_g="hidden hidden+vocab",
    W_o="hidden hidden+vocab", W_v="vocab hidden",
    b_f="hidden 1", b_i="hidden 1", b_g="hidden 1", b_o="hidden 1", b_v="vocab 1",
)  # fmt: skip
def lstm(x, y, h, c, W_f, W_i, W_g, W_o, W_v, b_f, b_i, b_g, b_o, b_v):
    for x_t, y_t in zip(x, y, strict=True):
        z = torch.cat([h, torch.eye(len(b_v))[:, [x_t]]])
        f = torch.sigmoid(W_f @ z + b_f)
        i = torch.sigmoid(W_i @ z + b_i)
        g = torch.tanh(W_g @ z + b_g)
        o = torch.sigmoid(W_o @ z + b_o)
        c = f * c + i * g
        h = o * torch.tanh(c)
        yield -torch.log_softmax(W_v @ h + b_v, 0)[y_t, 0]


PASSES = [
    Pass(
        name="CaptainE-RNN",
        function="rnn",
        network="rnn",
        wrong=((895,), (904,)),
        **HERE,
    ),
    Pass(
        name="CaptainE-LSTM",
        function="lstm",
        network="lstm",
        wrong=(
            *((1676, 1713), (1683,), (1689,), (1690,), (1698,), (1700,)),
            *((1708,), (1714,), (1723,), (1724,)),
        ),
        **HERE,
    ),
]
