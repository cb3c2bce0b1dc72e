"""ligd07/RNN-Numpy: a layer, which gets the gradients of its outputs."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import inputs, network, upstream


@network(
    x="time n_in",
    h=inputs("1 hidden"),
    U="n_in hidden",
    W="hidden hidden",
    B="hidden",
    grad_in=upstream("time hidden"),
)
def rnn(x, h, U, W, B, grad_in):
    for x_t, error in zip(x, grad_in, strict=True):
        h = torch.tanh(x_t @ U + h @ W + B)
        yield (h * error).sum()


PASSES = [
    Pass(
        name="ligd07",
        repository="ligd07/RNN-Numpy",
        commit="8e860879ad0af9c11a785a6e7e5981c0b5d44b74",
        path="rnn.py",
        function="rnn",
        network="rnn",
        # It keeps no initial state, and raises at one step, which it would take for two.
        wrong=((109,), (96,), (106, 107, 108, 110)),
        on_purpose=(112, 113),
        beside=("module.py",),
    )
]
