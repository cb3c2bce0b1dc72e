"""The wrong passes of docs/public-code.md: networks and lines."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, tokens, upstream

CAPTAINE = (
    "CaptainE/RNN-LSTM-in-numpy/f0d2c883d6a0ee913bff9dae21162b9da494be00",
    "RNN_LSTM_from_scratch.ipynb",
)
KULBEAR = (
    "Kulbear/deep-learning-coursera/997fdb2e2db67acd45d29ae418212463a54be06d",
    "Sequence Models/Building a Recurrent Neural Network - Step by Step - v2.ipynb",
)


# CaptainE/RNN-LSTM-in-numpy, an exercise with its solution; its activations add 1e-12.
@network(
    x=tokens("time", below="vocab"),
    y=tokens("time", below="vocab"),
    U="hidden vocab",
    V="hidden hidden",
    W="vocab hidden",
    b_hidden="hidden 1",
    b_out="vocab 1",
)
def captaine_rnn(x, y, U, V, W, b_hidden, b_out):
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
def captaine_lstm(x, y, h, c, W_f, W_i, W_g, W_o, W_v, b_f, b_i, b_g, b_o, b_v):
    for x_t, y_t in zip(x, y, strict=True):
        z = torch.cat([h, torch.eye(len(b_v))[:, [x_t]]])
        f = torch.sigmoid(W_f @ z + b_f)
        i = torch.sigmoid(W_i @ z + b_i)
        g = torch.tanh(W_g @ z + b_g)
        o = torch.sigmoid(W_o @ z + b_o)
        c = f * c + i * g
        h = o * torch.tanh(c)
        yield -torch.log_softmax(W_v @ h + b_v, 0)[y_t, 0]


# eriklindernoren/ML-From-Scratch: a layer whose output has the size of its input.
# Its `bptt_trunc` is made as long as the input.
@network(
    X="batch time n_in",
    U="hidden n_in",
    W="hidden hidden",
    V="n_in hidden",
    accum_grad=upstream("batch time n_in"),
)
def eriklindernoren(X, U, W, V, accum_grad):
    h = torch.zeros(len(X), len(W))
    for x_t, error in zip(X.unbind(1), accum_grad.unbind(1), strict=True):
        h = torch.tanh(x_t @ U.T + h @ W.T)
        yield (h @ V.T * error).sum()


# Kulbear/deep-learning-coursera, *Step by Step*: examples in columns, time last.
@network(
    x="n_x batch time",
    a0="n_a batch",
    Wf="n_a n_a+n_x", bf="n_a 1", Wi="n_a n_a+n_x", bi="n_a 1",
    Wc="n_a n_a+n_x", bc="n_a 1", Wo="n_a n_a+n_x", bo="n_a 1",
    Wy=inputs("n_y n_a"), by=inputs("n_y 1"),
    da=upstream("n_a batch time"),
)  # fmt: skip
def kulbear_lstm(x, a0, Wf, bf, Wi, bi, Wc, bc, Wo, bo, Wy, by, da):
    a, c = a0, torch.zeros_like(a0)
    for x_t, da_t in zip(x.unbind(2), da.unbind(2), strict=True):
        z = torch.cat([a, x_t])
        f, i, o = (torch.sigmoid(W @ z + b) for W, b in ((Wf, bf), (Wi, bi), (Wo, bo)))
        c = f * c + i * torch.tanh(Wc @ z + bc)
        a = o * torch.tanh(c)
        yield (a * da_t).sum()


# qixianbiao/RNN: examples of one sequence in columns, time last.
@network(
    x=inputs("n_in time"),
    y=tokens("time", below="n_out"),
    h=inputs("hidden"),
    Wyh="n_out hidden",
    Byh="n_out",
    Wxh="hidden n_in",
    Bxh="hidden",
    Whh="hidden hidden",
)
def qixianbiao(x, y, h, Wyh, Byh, Wxh, Bxh, Whh):
    for x_t, y_t in zip(x.T, y, strict=True):
        h = torch.tanh(Wxh @ x_t + Bxh + Whh @ h)
        yield -torch.log_softmax(Wyh @ h + Byh, 0)[y_t]


# revsic/numpy-rnn: many to one, so the loss is zero at all other steps.
@network(
    Xt=inputs("time batch n_in"),
    Y=tokens("batch", below="n_out"),
    wf="n_in+hidden hidden", wi="n_in+hidden hidden", wo="n_in+hidden hidden",
    wc="n_in+hidden hidden", wy="hidden n_out",
    bf="hidden", bi="hidden", bo="hidden", bc="hidden", by="n_out",
)  # fmt: skip
def revsic(Xt, Y, wf, wi, wo, wc, wy, bf, bi, bo, bc, by):
    h = c = torch.zeros(len(Y), len(bf))
    for t, x_t in enumerate(Xt):
        x = torch.cat([x_t, h], 1)
        f, i, o = (torch.sigmoid(x @ w + b) for w, b in ((wf, bf), (wi, bi), (wo, bo)))
        c = f * c + i * torch.tanh(x @ wc + bc)
        h = o * torch.tanh(c)
        loss = -torch.log_softmax(h @ wy + by, 1).gather(1, Y[:, None]).sum()
        yield loss * (t == len(Xt) - 1)


# rushter/MLAlgorithms: layers, which get the gradients of their outputs.
@network(
    X="batch time n_in",
    W="n_in hidden",
    U="hidden hidden",
    b="hidden",
    delta=upstream("batch time hidden"),
)
def rushter_rnn(X, W, U, b, delta):
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
def rushter_lstm(X, W_i, W_f, W_o, W_c, U_i, U_f, U_o, U_c, b_i, b_f, b_o, b_c, delta):
    h = c = torch.zeros(len(X), len(b_i))
    for x, delta_t in zip(X.unbind(1), delta.unbind(1), strict=True):
        i = torch.sigmoid(x @ W_i + h @ U_i + b_i)
        f = torch.sigmoid(x @ W_f + h @ U_f + b_f)
        o = torch.sigmoid(x @ W_o + h @ U_o + b_o)
        c = f * c + i * torch.tanh(x @ W_c + h @ U_c + b_c)
        h = o * torch.tanh(c)
        yield (h * delta_t).sum()


# vzhou842/rnn-from-scratch: many to one, so the loss is zero at all other steps.
@network(
    inputs="time input_size 1",
    d_y=upstream("output_size 1"),
    Whh="hidden_size hidden_size",
    Wxh="hidden_size input_size",
    Why="output_size hidden_size",
    bh="hidden_size 1",
    by="output_size 1",
)
def vzhou842(inputs, d_y, Whh, Wxh, Why, bh, by):
    h = torch.zeros(len(Whh), 1)
    for t, x in enumerate(inputs):
        h = torch.tanh(Wxh @ x + Whh @ h + bh)
        yield ((Why @ h + by) * d_y).sum() * (t == len(inputs) - 1)


PASSES = [
    Pass("captaine_rnn", *CAPTAINE, wrong=((895,), (904,))),
    Pass(
        "captaine_lstm",
        *CAPTAINE,
        wrong=(
            (1676, 1713),
            (1683,),
            (1689,),
            (1690,),
            (1698,),
            (1700,),
            (1708,),
            (1714,),
            (1723,),
            (1724,),
        ),
    ),
    Pass(
        "eriklindernoren",
        "eriklindernoren/ML-From-Scratch/a2806c6732eee8d27762edd6d864e0c179d8e9e8",
        "mlfromscratch/deep_learning/layers.py",
        wrong=((181, 188),),
        beside=("mlfromscratch/deep_learning/activation_functions.py",),
    ),
    Pass(
        "kulbear_lstm",
        *KULBEAR,
        "lstm_forward,lstm_backward",
        flags="--definitions-only",
        wrong=((1811, 1821),),
        beside=("Sequence Models/rnn_utils.py",),
    ),
    Pass(
        "qixianbiao",
        "qixianbiao/RNN/aac3746c23a8de9ba8eb13ef189aacb435c7337f",
        "rnn.py",
        wrong=((45,), (50,), (58,)),
    ),
    Pass(
        "revsic",
        "revsic/numpy-rnn/9535c60be686f4fb6f8a4e08080acbce748c92ee",
        "LSTM_numpy.ipynb",
        wrong=((299,),),
    ),
    Pass(
        "rushter_rnn",
        "rushter/MLAlgorithms/8fb8bb4282f37ad797052930dc12d0faace7bdb6",
        "mla/neuralnet/layers/recurrent/rnn.py",
        wrong=((90,), (93,), (98, 99)),
    ),
    Pass(
        "rushter_lstm",
        "rushter/MLAlgorithms/8fb8bb4282f37ad797052930dc12d0faace7bdb6",
        "mla/neuralnet/layers/recurrent/lstm.py",
        wrong=((155,), (161, 162, 163), (168, 169, 170), (175, 176, 177), (148, 154, 182)),
    ),
    Pass(
        "vzhou842",
        "vzhou842/rnn-from-scratch/68b10bb07c30f77ecac3724d8670ff858ad090dc",
        "rnn.py",
        "RNN.forward,RNN.backprop",
        flags="--from-update 1",
        wrong=((74,),),
        on_purpose=(77, 78),
    ),
]
