"""jiexunsee/Numpy-LSTM: sigmoid outputs; the pass changes its weights, at the rate 1."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, targets


@network(
    x=inputs("time n_in"),
    y=targets("time n_out"),
    U_i="n_in hidden", U_f="n_in hidden", U_o="n_in hidden", U_g="n_in hidden",
    W_i="hidden hidden", W_f="hidden hidden", W_o="hidden hidden", W_g="hidden hidden",
    hidden_to_out="hidden n_out",
)  # fmt: skip
def lstm(x, y, U_i, U_f, U_o, U_g, W_i, W_f, W_o, W_g, hidden_to_out):
    h = c = torch.zeros(1, len(W_i))
    for x_t, y_t in zip(x, y, strict=True):
        i, f, o = (torch.sigmoid(x_t @ U + h @ W) for U, W in ((U_i, W_i), (U_f, W_f), (U_o, W_o)))
        c = f * c + i * torch.tanh(x_t @ U_g + h @ W_g)
        h = o * torch.tanh(c)
        yield 0.5 * ((torch.sigmoid(h @ hidden_to_out) - y_t) ** 2).sum()


PASSES = [
    Pass(
        name="jiexunsee",
        repository="jiexunsee/Numpy-LSTM",
        commit="5f2bc1aae2b94e4a6c5eff3c7c9c69e7d8742d12",
        path="numpylstm.py",
        function="lstm",
        network="lstm",
        flags="--from-update 1",
        wrong=((73, 76), (79,), (82,), (113,), (114,), (115,), (116,)),
    )
]
