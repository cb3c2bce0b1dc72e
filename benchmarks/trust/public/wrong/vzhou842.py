"""vzhou842/rnn-from-scratch: many to one, so the loss is zero at all other steps."""

import torch

from benchmarks.trust.public.form import Pass
from rnn_torch.networks import network, upstream


@network(
    inputs="time input_size 1",
    d_y=upstream("output_size 1"),
    Whh="hidden_size hidden_size",
    Wxh="hidden_size input_size",
    Why="output_size hidden_size",
    bh="hidden_size 1",
    by="output_size 1",
)
def many_to_one(inputs, d_y, Whh, Wxh, Why, bh, by):
    h = torch.zeros(len(Whh), 1)
    for t, x in enumerate(inputs):
        h = torch.tanh(Wxh @ x + Whh @ h + bh)
        yield ((Why @ h + by) * d_y).sum() * (t == len(inputs) - 1)


PASSES = [
    Pass(
        name="vzhou842",
        repository="vzhou842/rnn-from-scratch",
        commit="68b10bb07c30f77ecac3724d8670ff858ad090dc",
        path="rnn.py",
        function="RNN.forward,RNN.backprop",
        network="many_to_one",
        flags="--from-update 1",
        wrong=((74,),),
        on_purpose=(77, 78),
    )
]
