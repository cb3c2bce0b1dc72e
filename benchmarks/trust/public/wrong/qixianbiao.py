"""qixianbiao/RNN: examples of one sequence in columns, time last."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, tokens


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
def rnn(x, y, h, Wyh, Byh, Wxh, Bxh, Whh):
    for x_t, y_t in zip(x.T, y, strict=True):
        h = torch.tanh(Wxh @ x_t + Bxh + Whh @ h)
        yield -torch.log_softmax(Wyh @ h + Byh, 0)[y_t]


PASSES = [
    Pass(
        name="qixianbiao",
        repository="qixianbiao/RNN",
        commit="aac3746c23a8de9ba8eb13ef189aacb435c7337f",
        path="rnn.py",
        function="rnn",
        network="rnn",
        wrong=((45,), (50,), (58,)),
    )
]
