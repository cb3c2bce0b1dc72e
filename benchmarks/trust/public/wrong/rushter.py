"""rushter/MLAlgorithms: layers, which get the gradients of their outputs."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream

HERE = {"repository": "rushter/MLAlgorithms", "commit": "8fb8bb4282f37ad797052930dc12d0faace7bdb6"}
FOLDER = "mla/neuralnet/layers/recurrent"


@network(
    X="batch time n_in",
    W="n_in hidden",
    U="hidden hidden",
    b="hidden",
    delta=upstream("batch time hidden"),
)
def rnn(X, W, U, b, delta):
    h = torch.zeros(len(X), len(b))
    for x_t, delta_t in zip(X.unbind(1), delta.unbind(1), strict=True):
        h = torch.tanh(x_t @ W + h @ U + b)
        yield (h * delta_t).sum()


@network(
    X="batch time n_in",
    W_i="n_in hidden", W_f="n_in hidden", W_o="n_in hidden", W_c="n_in hidden",
    U_i="hidden hidden", U_f="hidden hidden", U_o="hidden hidden", U_c="hidden hidden",
    b_i="hidden", b_f="hidden", b_o="hidden", b_c="hidden",
    delta=upstream("batch time hidden"),
)  # fmt: skip
def lstm(X, W_i, W_f, W_o, W_c, U_i, U_f, U_o, U_c, b_i, b_f, b_o, b_c, delta):
    h = c = torch.zeros(len(X), len(b_i))
    for x, delta_t in zip(X.unbind(1), delta.unbind(1), strict=True):
        i = torch.sigmoid(x @ W_i + h @ U_i + b_i)
        f = torch.sigmoid(x @ W_f + h @ U_f + b_f)
        o = torch.sigmoid(x @ W_o + h @ U_o + b_o)
        c = f * c + i * torch.tanh(x @ W_c + h @ U_c + b_c)
        h = o * torch.tanh(c)
        yield (h * delta_t).sum()


PASSES = [
    Pass(
        name="rushter-RNN",
        path=f"{FOLDER}/rnn.py",
        function="rnn",
        network="rnn",
        wrong=((90,), (93,), (98, 99)),
        **HERE,
    ),
    Pass(
        name="rushter-LSTM",
        path=f"{FOLDER}/lstm.py",
        function="lstm",
        network="lstm",
        wrong=(
            (155,),
            (161, 162, 163),
            (168, 169, 170),
            (175, 176, 177),
            (148, 154, 182),
        ),
        **HERE,
    ),
]
