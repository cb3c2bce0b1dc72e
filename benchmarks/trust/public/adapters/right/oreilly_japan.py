"""Call the layers of deep-learning-from-scratch-2, without its other files."""

import numpy as np

from benchmarks.trust.public.form import published


def _called(name, xs, Wx, Wh, b, dhs):
    layer = published(name)
    layer.forward.__globals__.update(np=np, sigmoid=lambda z: 1 / (1 + np.exp(-z)))
    layer = layer(Wx, Wh, b)
    layer.forward(xs)
    return layer.backward(dhs), *layer.grads


def oreilly_rnn(xs, Wx, Wh, b, dhs):
    return _called("TimeRNN", xs, Wx, Wh, b, dhs)


def oreilly_lstm(xs, Wx, Wh, b, dhs):
    return _called("TimeLSTM", xs, Wx, Wh, b, dhs)
