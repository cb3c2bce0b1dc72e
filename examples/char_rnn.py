"""A network of one's own, as it is meant: characters in, the next character's loss out."""

import torch

from rnn_torch.networks import network, tokens


@network(
    inputs=tokens("time", below="vocab"),
    targets=tokens("time", below="vocab"),
    hprev="hidden 1",
    Wxh="hidden vocab",
    Whh="hidden hidden",
    Why="vocab hidden",
    bh="hidden 1",
    by="vocab 1",
)
def char_rnn(inputs, targets, hprev, Wxh, Whh, Why, bh, by):
    h = hprev
    for x, y in zip(inputs, targets, strict=True):
        h = torch.tanh(Wxh[:, [x]] + Whh @ h + bh)
        yield -torch.log_softmax(Why @ h + by, 0)[y, 0]  # the loss at this step
