"""Call the layers of deep-learning-from-scratch-2, without its other files."""

import os

import numpy as np

from bptt_check.candidate.loading import load_function


def _called(name, xs, Wx, Wh, b, dhs):
    layer = load_function(os.environ["PUBLISHED"], name, definitions_only=True)
    layer.forward.__globals__.update(np=np, sigmoid=lambda z: 1 / (1 + np.exp(-z)))
    layer = layer(Wx, Wh, b)
    layer.forward(xs)
    return layer.backward(dhs), *layer.grads


def rnn(xs, Wx, Wh, b, dhs):
    return _called("TimeRNN", xs, Wx, Wh, b, dhs)


def lstm(xs, Wx, Wh, b, dhs):
    return _called("TimeLSTM", xs, Wx, Wh, b, dhs)
