"""The right passes of docs/public-code.md."""

import torch

from benchmarks.trust.public.form import Pass
from benchmarks.trust.public.wrong import KULBEAR
from rnn_torch.networks import inputs, network, tokens, upstream

CS231N = (
    "jariasf/CS231n/306a3ac834b9a9501c36a63a568370084c167efe",
    "assignment3/cs231n/rnn_layers.py",
)
NUMPY_ML = (
    "ddbourgin/numpy-ml/b0359af5285fbf9699d64fd5ec059493228af03e",
    "numpy_ml/neural_nets/layers/layers.py",
)
OREILLY = (
    "oreilly-japan/deep-learning-from-scratch-2/842ae31c2bb070f5116275606ed90396626a2c17",
    "common/time_layers.py",
)


@network(
    Wxh="hidden_size vocab_size",
    Whh="hidden_size hidden_size",
    Why="vocab_size hidden_size",
    bh="hidden_size 1",
    by="vocab_size 1",
    hprev="hidden_size 1",
    inputs=tokens("time", below="vocab_size"),
    targets=tokens("time", below="vocab_size"),
)
def char_rnn(Wxh, Whh, Why, bh, by, inputs, targets, hprev):
    h = hprev
    for x, y in zip(inputs, targets, strict=True):
        h = torch.tanh(Wxh[:, [x]] + Whh @ h + bh)
        yield -torch.log_softmax(Why @ h + by, 0)[y, 0]


@network(
    x=tokens("time", below="word_dim"),
    y=tokens("time", below="word_dim"),
    U="hidden_dim word_dim",
    V="word_dim hidden_dim",
    W="hidden_dim hidden_dim",
)
def without_biases(x, y, U, V, W):
    h = torch.zeros(len(W))
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(U[:, x_t] + W @ h)
        yield -torch.log_softmax(V @ h, 0)[y_t]


@network(
    inputs=tokens("time", below="vocab_size"),
    targets=tokens("time", below="vocab_size"),
    hprev="h_size 1",
    Wy="vocab_size h_size", by="vocab_size 1",
    Wh="h_size vocab_size", Uh="h_size h_size", bh="h_size 1",
    Wr="h_size vocab_size", Ur="h_size h_size", br="h_size 1",
    Wz="h_size vocab_size", Uz="h_size h_size", bz="h_size 1",
)  # fmt: skip
def erikvdplas(inputs, targets, hprev, Wy, by, Wh, Uh, bh, Wr, Ur, br, Wz, Uz, bz):
    h = hprev
    for x, y in zip(inputs, targets, strict=True):
        z = torch.sigmoid(Wz[:, [x]] + Uz @ h + bz)
        r = torch.sigmoid(Wr[:, [x]] + Ur @ h + br)
        h = z * h + (1 - z) * torch.tanh(Wh[:, [x]] + Uh @ (r * h) + bh)
        yield -torch.log_softmax(Wy @ h + by, 0)[y, 0]


@network(
    inputs=tokens("time B", below="M"),
    targets=tokens("time B", below="M"),
    cprev="HN B",
    hprev="HN B",
    Wxh="4*HN M",
    Whh="4*HN HN",
    Why="M HN",
    bh="4*HN 1",
    by="M 1",
)
def krocki(inputs, targets, cprev, hprev, Wxh, Whh, Why, bh, by):
    c, h = cprev, hprev
    for x, y in zip(inputs, targets, strict=True):
        i, o, f, g = (Wxh[:, x] + Whh @ h + bh).chunk(4)
        c = torch.tanh(torch.tanh(g) * torch.sigmoid(i) + torch.sigmoid(f) * c)
        h = torch.sigmoid(o) * c
        yield -torch.log_softmax(Why @ h + by, 0).gather(0, y[None]).sum()


@network(
    x="batch time D", h0="batch H", Wx="D H", Wh="H H", b="H", dh=upstream("batch time H")
)  # fmt: skip
def jariasf_rnn(x, h0, Wx, Wh, b, dh):
    h = h0
    for x_t, error in zip(x.unbind(1), dh.unbind(1), strict=True):
        h = torch.tanh(x_t @ Wx + h @ Wh + b)
        yield (h * error).sum()


@network(
    x="batch time D", h0="batch H", Wx="D 4*H", Wh="H 4*H", b="4*H", dh=upstream("batch time H")
)  # fmt: skip
def jariasf_lstm(x, h0, Wx, Wh, b, dh):
    h, c = h0, torch.zeros_like(h0)
    for x_t, error in zip(x.unbind(1), dh.unbind(1), strict=True):
        i, f, o, g = (x_t @ Wx + h @ Wh + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        yield (h * error).sum()


@network(
    x="n_x batch time",
    a0="n_a batch",
    Wax="n_a n_x", Waa="n_a n_a", ba="n_a 1",
    Wya=inputs("n_y n_a"), by=inputs("n_y 1"),
    da=upstream("n_a batch time"),
)  # fmt: skip
def kulbear_rnn(x, a0, Wax, Waa, ba, Wya, by, da):
    a = a0
    for x_t, error in zip(x.unbind(2), da.unbind(2), strict=True):
        a = torch.tanh(Wax @ x_t + Waa @ a + ba)
        yield (a * error).sum()


# MichaelMastro/Batched-Gated-Recurrent-Unit, Python 2: biases are the first row.
@network(X="time batch D", WGRU="1+D+H 3*H", h0="batch H", dh=upstream("time batch H"))
def michaelmastro(X, WGRU, h0, dh):
    h, n = h0, h0.shape[1]
    for x, error in zip(X, dh, strict=True):
        one = torch.ones(len(x), 1)
        z, r = torch.sigmoid(torch.cat([one, x, h], 1) @ WGRU[:, : 2 * n]).chunk(2, 1)
        h = (1 - z) * h + z * torch.tanh(torch.cat([one, x, r * h], 1) @ WGRU[:, 2 * n :])
        yield (h * error).sum()


# nianiaele/gru-cell-in-numpy: a cell without biases.
@network(
    x="time d",
    h="units",
    Wzh="units units", Wrh="units units", Wh="units units",
    Wzx="units d", Wrx="units d", Wx="units d",
    delta=upstream("time units"),
)  # fmt: skip
def nianiaele(x, h, Wzh, Wrh, Wh, Wzx, Wrx, Wx, delta):
    for x_t, error in zip(x, delta, strict=True):
        z = torch.sigmoid(Wzh @ h + Wzx @ x_t)
        r = torch.sigmoid(Wrh @ h + Wrx @ x_t)
        h = (1 - z) * h + z * torch.tanh(Wh @ (r * h) + Wx @ x_t)
        yield (h * error).sum()


# nicodjimenez/lstm: h = s * o, without the last tanh.
@network(
    x=inputs("time x_dim"),
    wg="cells x_dim+cells", wi="cells x_dim+cells", wf="cells x_dim+cells", wo="cells x_dim+cells",
    bg="cells", bi="cells", bf="cells", bo="cells",
    y=upstream("time cells"),
)  # fmt: skip
def nicodjimenez(x, wg, wi, wf, wo, bg, bi, bf, bo, y):
    h = s = torch.zeros(len(bg))
    for x_t, error in zip(x, y, strict=True):
        z = torch.cat([x_t, h])
        i, f, o = (torch.sigmoid(w @ z + b) for w, b in ((wi, bi), (wf, bf), (wo, bo)))
        s = torch.tanh(wg @ z + bg) * i + s * f
        h = s * o
        yield (h * error).sum()


# ddbourgin/numpy-ml: cells, which take one step at a time.
@network(
    X="time batch n_in",
    Waa="n_out n_out",
    Wax="n_in n_out",
    ba="n_out 1",
    bx="n_out 1",
    dLdA=upstream("time batch n_out"),
)
def numpy_ml_rnn(X, Waa, Wax, ba, bx, dLdA):
    a = torch.zeros(X.shape[1], len(ba))
    for x, error in zip(X, dLdA, strict=True):
        a = torch.tanh(a @ Waa + ba.T + x @ Wax + bx.T)
        yield (a * error).sum()


@network(
    X="time batch n_in",
    Wf="n_out+n_in n_out", Wu="n_out+n_in n_out", Wc="n_out+n_in n_out", Wo="n_out+n_in n_out",
    bf="1 n_out", bu="1 n_out", bc="1 n_out", bo="1 n_out",
    dLdA=upstream("time batch n_out"),
)  # fmt: skip
def numpy_ml_lstm(X, Wf, Wu, Wc, Wo, bf, bu, bc, bo, dLdA):
    a = c = torch.zeros(X.shape[1], bf.shape[1])
    for x, error in zip(X, dLdA, strict=True):
        z = torch.cat([a, x], 1)
        f, u, o = (torch.sigmoid(z @ W + b) for W, b in ((Wf, bf), (Wu, bu), (Wo, bo)))
        c = f * c + u * torch.tanh(z @ Wc + bc)
        a = o * torch.tanh(c)
        yield (a * error).sum()


# oreilly-japan/deep-learning-from-scratch-2: the book's layers, of single precision.
@network(xs="batch time D", Wx="D H", Wh="H H", b="H", dhs=upstream("batch time H"))
def oreilly_rnn(xs, Wx, Wh, b, dhs):
    h = torch.zeros(len(xs), len(b))
    for x, error in zip(xs.unbind(1), dhs.unbind(1), strict=True):
        h = torch.tanh(x @ Wx + h @ Wh + b)
        yield (h * error).sum()


@network(xs="batch time D", Wx="D 4*H", Wh="H 4*H", b="4*H", dhs=upstream("batch time H"))
def oreilly_lstm(xs, Wx, Wh, b, dhs):
    h = c = torch.zeros(len(xs), len(Wh))
    for x, error in zip(xs.unbind(1), dhs.unbind(1), strict=True):
        f, g, i, o = (x @ Wx + h @ Wh + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.tanh(g) * torch.sigmoid(i)
        h = torch.sigmoid(o) * torch.tanh(c)
        yield (h * error).sum()


PASSES = [
    Pass(
        "weixsong",
        "weixsong/min-char-rnn/7cd63729a32cd8ba0c0442e1a8ada3dd7913d8df",
        "min-char-rnn.py",
        "lossFun",
        network="char_rnn",
        flags="--definitions-only",
        on_purpose=(112, 113),
    ),
    Pass(
        "gaomingqi",
        "gaomingqi/min-char-rnn/e8d2af3b8db85865001202cb91edb8583fa1a025",
        "min-char-rnn.py",
        "Min_char_rnn.lossFun",
        network="char_rnn",
        flags="--definitions-only",
        on_purpose=(91, 92),
    ),
    Pass(
        "pangolulu",
        "pangolulu/rnn-from-scratch/622c4238c810d42812ef011494f0eec09d34c160",
        "rnn.py",
        "Model.bptt",
        network="without_biases",
        flags="--window 4",
        beside=("layer.py", "gate.py", "activation.py", "output.py"),
    ),
    Pass(
        "erikvdplas",
        "erikvdplas/gru-rnn/958f185ef69d29e7846205300307b2799754a541",
        "main.py",
        "lossFun",
        flags="--definitions-only",
    ),
    Pass(
        "krocki",
        "krocki/dnc/a3fbf94f88029d177ba4f9825106cc95aaba8e0f",
        "lstm-numpy.py",
        "train",
        flags="--definitions-only",
    ),
    Pass(
        "dennybritz",
        "dennybritz/rnn-tutorial-rnnlm/344d8ffbe2230335c44138ecbd4cd93c7e993aa0",
        "RNNLM.ipynb",
        network="without_biases",
        flags="--window 4",
    ),
    Pass("jariasf_rnn", *CS231N, "rnn_forward,rnn_backward", flags="--definitions-only"),
    Pass("jariasf_lstm", *CS231N, "lstm_forward,lstm_backward", flags="--definitions-only"),
    Pass(
        "kulbear_rnn",
        *KULBEAR,
        "rnn_forward,rnn_backward",
        flags="--definitions-only",
        beside=("Sequence Models/rnn_utils.py",),
    ),
    Pass(
        "michaelmastro",
        "MichaelMastro/Batched-Gated-Recurrent-Unit/cf88bb43d2f13331412bd88f05d471aa4d34a5d2",
        "GRU.py",
    ),
    Pass(
        "nianiaele",
        "nianiaele/gru-cell-in-numpy/ca920dd3817cecebe4ca6c3ea64b908aef3b3597",
        "gru.py",
    ),
    Pass("nicodjimenez", "nicodjimenez/lstm/a2f2e99cb48acee421d5ba3a084af63131da10c6", "lstm.py"),
    Pass("numpy_ml_rnn", *NUMPY_ML),
    Pass("numpy_ml_lstm", *NUMPY_ML),
    Pass("oreilly_rnn", *OREILLY, flags="--dtype float32"),
    Pass("oreilly_lstm", *OREILLY, flags="--dtype float32"),
]
