"""davidgonmar/rnn-numpy: many to many; it gets the gradients of its outputs."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream


@network(
    inputs="time batch input_size",
    ww="output_size hidden_size",
    wv="hidden_size hidden_size",
    wu="hidden_size input_size",
    bh="hidden_size",
    bo="output_size",
    out_grads=upstream("time batch output_size"),
)
def rnn(inputs, ww, wv, wu, bh, bo, out_grads):
    h = torch.zeros(inputs.shape[1], len(bh))
    for x, error in zip(inputs, out_grads, strict=True):
        h = torch.tanh(x @ wu.T + h @ wv.T + bh)
        yield ((h @ ww.T + bo) * error).sum()


PASSES = [
    Pass(
        name="davidgonmar",
        repository="davidgonmar/rnn-numpy",
        commit="251f74d64a936e06c22d762b59afb2d518512b57",
        path="rnn.py",
        function="rnn",
        network="rnn",
        wrong=((205, 208), (215,)),
        on_purpose=(301, 302, 303, 304, 305, 306),
    )
]
