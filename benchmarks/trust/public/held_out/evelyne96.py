"""evelyne96/LSTM: the candidate of its cell is a sigmoid."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, tokens


@network(
    x=tokens("time", below="word_dim"),
    y=tokens("time", below="word_dim"),
    w_fh="h_size h_size", w_fx="h_size word_dim", b_f="h_size 1",
    w_ih="h_size h_size", w_ix="h_size word_dim", b_i="h_size 1",
    w_ch="h_size h_size", w_cx="h_size word_dim", b_c="h_size 1",
    w_oh="h_size h_size", w_ox="h_size word_dim", b_o="h_size 1",
    w_v="word_dim h_size", b_v="word_dim 1",
)  # fmt: skip
def lstm(x, y, w_fh, w_fx, b_f, w_ih, w_ix, b_i, w_ch, w_cx, b_c, w_oh, w_ox, b_o, w_v, b_v):
    h = c = torch.zeros_like(b_f)
    for x_t, y_t in zip(x, y, strict=True):
        f = torch.sigmoid(w_fh @ h + w_fx[:, [x_t]] + b_f)
        i = torch.sigmoid(w_ih @ h + w_ix[:, [x_t]] + b_i)
        o = torch.sigmoid(w_oh @ h + w_ox[:, [x_t]] + b_o)
        c = f * c + i * torch.sigmoid(w_ch @ h + w_cx[:, [x_t]] + b_c)
        h = o * torch.tanh(c)
        yield -torch.log_softmax(w_v @ h + b_v, 0)[y_t, 0]


PASSES = [
    Pass(
        name="evelyne96",
        repository="evelyne96/LSTM",
        commit="a3cd4a0f5dccae8e61de85364df973b8ccf13611",
        path="LSTM.py",
        function="lstm",
        network="lstm",
        wrong=((118,), (119,), (123,)),
        on_purpose=(*range(52, 67), 149),
        beside=("utils.py",),
    )
]
