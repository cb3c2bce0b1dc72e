"""Models of characters, most of them after Karpathy's min-char-rnn."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, tokens


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
def char_gru(inputs, targets, hprev, Wy, by, Wh, Uh, bh, Wr, Ur, br, Wz, Uz, bz):
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
def char_lstm(inputs, targets, cprev, hprev, Wxh, Whh, Why, bh, by):
    c, h = cprev, hprev
    for x, y in zip(inputs, targets, strict=True):
        i, o, f, g = (Wxh[:, x] + Whh @ h + bh).chunk(4)
        c = torch.tanh(torch.tanh(g) * torch.sigmoid(i) + torch.sigmoid(f) * c)
        h = torch.sigmoid(o) * c
        yield -torch.log_softmax(Why @ h + by, 0).gather(0, y[None]).sum()


PASSES = [
    Pass(
        name="weixsong",
        repository="weixsong/min-char-rnn",
        commit="7cd63729a32cd8ba0c0442e1a8ada3dd7913d8df",
        path="min-char-rnn.py",
        function="lossFun",
        network="char_rnn",
        flags="--definitions-only",
        on_purpose=(112, 113),
    ),
    Pass(
        name="gaomingqi",
        repository="gaomingqi/min-char-rnn",
        commit="e8d2af3b8db85865001202cb91edb8583fa1a025",
        path="min-char-rnn.py",
        function="Min_char_rnn.lossFun",
        network="char_rnn",
        flags="--definitions-only",
        on_purpose=(91, 92),
    ),
    Pass(
        name="pangolulu",
        repository="pangolulu/rnn-from-scratch",
        commit="622c4238c810d42812ef011494f0eec09d34c160",
        path="rnn.py",
        function="Model.bptt",
        network="without_biases",
        flags="--window 4",
        verdict="agrees",
        beside=("layer.py", "gate.py", "activation.py", "output.py"),
    ),
    Pass(
        name="erikvdplas",
        repository="erikvdplas/gru-rnn",
        commit="958f185ef69d29e7846205300307b2799754a541",
        path="main.py",
        function="lossFun",
        network="char_gru",
        flags="--definitions-only",
        verdict="agrees",
    ),
    Pass(
        name="krocki",
        repository="krocki/dnc",
        commit="a3fbf94f88029d177ba4f9825106cc95aaba8e0f",
        path="lstm-numpy.py",
        function="train",
        network="char_lstm",
        flags="--definitions-only",
        verdict="agrees",
    ),
]
