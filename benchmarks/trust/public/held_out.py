"""The wrong passes that nobody had looked at while the check was built."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, targets, tokens, upstream


# davidgonmar/rnn-numpy: many to many; it gets the gradients of its outputs.
@network(
    inputs="time batch input_size",
    ww="output_size hidden_size",
    wv="hidden_size hidden_size",
    wu="hidden_size input_size",
    bh="hidden_size",
    bo="output_size",
    out_grads=upstream("time batch output_size"),
)
def davidgonmar(inputs, ww, wv, wu, bh, bo, out_grads):
    h = torch.zeros(inputs.shape[1], len(bh))
    for x, error in zip(inputs, out_grads, strict=True):
        h = torch.tanh(x @ wu.T + h @ wv.T + bh)
        yield ((h @ ww.T + bo) * error).sum()


# evelyne96/LSTM: the candidate of its cell is a sigmoid.
@network(
    x=tokens("time", below="word_dim"),
    y=tokens("time", below="word_dim"),
    w_fh="h_size h_size", w_fx="h_size word_dim", b_f="h_size 1",
    w_ih="h_size h_size", w_ix="h_size word_dim", b_i="h_size 1",
    w_ch="h_size h_size", w_cx="h_size word_dim", b_c="h_size 1",
    w_oh="h_size h_size", w_ox="h_size word_dim", b_o="h_size 1",
    w_v="word_dim h_size", b_v="word_dim 1",
)  # fmt: skip
def evelyne96(x, y, w_fh, w_fx, b_f, w_ih, w_ix, b_i, w_ch, w_cx, b_c, w_oh, w_ox, b_o, w_v, b_v):
    h = c = torch.zeros_like(b_f)
    for x_t, y_t in zip(x, y, strict=True):
        f = torch.sigmoid(w_fh @ h + w_fx[:, [x_t]] + b_f)
        i = torch.sigmoid(w_ih @ h + w_ix[:, [x_t]] + b_i)
        o = torch.sigmoid(w_oh @ h + w_ox[:, [x_t]] + b_o)
        c = f * c + i * torch.sigmoid(w_ch @ h + w_cx[:, [x_t]] + b_c)
        h = o * torch.tanh(c)
        yield -torch.log_softmax(w_v @ h + b_v, 0)[y_t, 0]


# jiexunsee/Numpy-LSTM: sigmoid outputs; the pass changes its weights, at the rate 1.
@network(
    x=inputs("time n_in"),
    y=targets("time n_out"),
    U_i="n_in hidden", U_f="n_in hidden", U_o="n_in hidden", U_g="n_in hidden",
    W_i="hidden hidden", W_f="hidden hidden", W_o="hidden hidden", W_g="hidden hidden",
    hidden_to_out="hidden n_out",
)  # fmt: skip
def jiexunsee(x, y, U_i, U_f, U_o, U_g, W_i, W_f, W_o, W_g, hidden_to_out):
    h = c = torch.zeros(1, len(W_i))
    for x_t, y_t in zip(x, y, strict=True):
        i, f, o = (torch.sigmoid(x_t @ U + h @ W) for U, W in ((U_i, W_i), (U_f, W_f), (U_o, W_o)))
        c = f * c + i * torch.tanh(x_t @ U_g + h @ W_g)
        h = o * torch.tanh(c)
        yield 0.5 * ((torch.sigmoid(h @ hidden_to_out) - y_t) ** 2).sum()


# ligd07/RNN-Numpy: a layer, which gets the gradients of its outputs.
@network(
    x="time n_in",
    h=inputs("1 hidden"),
    U="n_in hidden",
    W="hidden hidden",
    B="hidden",
    grad_in=upstream("time hidden"),
)
def ligd07(x, h, U, W, B, grad_in):
    for x_t, error in zip(x, grad_in, strict=True):
        h = torch.tanh(x_t @ U + h @ W + B)
        yield (h * error).sum()


# MarkusHohle/LSTM-from-Scratch: numbers to numbers, which get the gradients of the outputs.
@network(
    X_t=inputs("time 1"),
    Wx="hidden 1",
    Wh="hidden hidden",
    Wy="1 hidden",
    biases="hidden 1",
    dvalues=upstream("time 1"),
)
def markushohle(X_t, Wx, Wh, Wy, biases, dvalues):
    h = torch.zeros_like(biases)
    for x_t, error in zip(X_t, dvalues, strict=True):
        h = torch.tanh(Wx * x_t + Wh @ h + biases)
        yield (Wy @ h * error).sum()


# Regen2001/NumPy-RNN-LSTM: many numbers to one, so the loss is zero at all other steps.
@network(
    x=inputs("time 1"),
    y=targets("1 1"),
    W_ax="hidden 1",
    W_aa="hidden hidden",
    W_ya="1 hidden",
    b_a="hidden 1",
    b_y="1 1",
)
def regen2001(x, y, W_ax, W_aa, W_ya, b_a, b_y):
    h = torch.zeros_like(b_a)
    for t, x_t in enumerate(x):
        h = torch.tanh(W_ax * x_t + W_aa @ h + b_a)
        yield 0.5 * ((W_ya @ h + b_y - y) ** 2).sum() * (t == len(x) - 1)


# VahidNaghashi/LSTM-from-scratch: min-char-rnn as an LSTM.
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
def vahidnaghashi(inputs, targets, hprev, cprev, Wf, Wu, Wc, Wo, Wy, bf, bu, bc, bo, by):
    h, c = hprev, cprev
    for x, y in zip(inputs, targets, strict=True):
        z = torch.cat([h, torch.eye(len(by))[:, [x]]])
        f, u, o = (torch.sigmoid(W @ z + b) for W, b in ((Wf, bf), (Wu, bu), (Wo, bo)))
        c = f * c + u * torch.tanh(Wc @ z + bc)
        h = o * torch.tanh(c)
        yield -torch.log_softmax(Wy @ h + by, 0)[y, 0]


PASSES = [
    Pass(
        "davidgonmar",
        "davidgonmar/rnn-numpy/251f74d64a936e06c22d762b59afb2d518512b57",
        "rnn.py",
        wrong=((205, 208), (215,)),
        on_purpose=(301, 302, 303, 304, 305, 306),
    ),
    Pass(
        "evelyne96",
        "evelyne96/LSTM/a3cd4a0f5dccae8e61de85364df973b8ccf13611",
        "LSTM.py",
        wrong=((118,), (119,), (123,)),
        on_purpose=(52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 149),
        beside=("utils.py",),
    ),
    Pass(
        "jiexunsee",
        "jiexunsee/Numpy-LSTM/5f2bc1aae2b94e4a6c5eff3c7c9c69e7d8742d12",
        "numpylstm.py",
        flags="--from-update 1",
        wrong=((73, 76), (79,), (82,), (113,), (114,), (115,), (116,)),
    ),
    Pass(
        "ligd07",
        "ligd07/RNN-Numpy/8e860879ad0af9c11a785a6e7e5981c0b5d44b74",
        "rnn.py",
        wrong=((109,), (96,), (106, 107, 108, 110)),
        on_purpose=(112, 113),
        beside=("module.py",),
    ),
    Pass(
        "markushohle",
        "MarkusHohle/LSTM-from-Scratch/4cf2a03eae637afa500815dd347d4a429a83a5b9",
        "5 package/RNN.py",
        wrong=((182, 237), (241,), (244,)),
    ),
    Pass(
        "regen2001",
        "Regen2001/NumPy-RNN-LSTM/ae76a32f66000f3b1a6b981bd3ab1687ef15d736",
        "model/RNN.py",
        wrong=((40,), (46,), (47,), (49,)),
        on_purpose=(51, 52, 53, 54, 55),
        beside=("model/NN.py", "model/ML.py"),
    ),
    Pass(
        "vahidnaghashi",
        "VahidNaghashi/LSTM-from-scratch/6769c14b609f196888545def8bde7656267c7a25",
        "LSTM_char.py",
        "lossFun",
        flags="--definitions-only",
        wrong=((73,),),
        on_purpose=(91, 92),
    ),
]
