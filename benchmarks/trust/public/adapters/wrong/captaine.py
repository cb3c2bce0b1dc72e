"""Call the passes of CaptainE's notebook, without clipping.

Its activations add 1e-12 to what they get, and overflow: here they do neither.
"""

import numpy as np

from benchmarks.trust.public.form import published


def _tanh(x, derivative=False):
    return 1 - np.tanh(x) ** 2 if derivative else np.tanh(x)


def _sigmoid(x, derivative=False):
    f = 1 / (1 + np.exp(-x))
    return f * (1 - f) if derivative else f


def _softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def _loaded(name):
    function = published(name)
    function.__globals__.update(tanh=_tanh, sigmoid=_sigmoid, softmax=_softmax)
    function.__globals__["clip_gradient_norm"] = lambda gradients: gradients
    return function


_forward_pass, _backward_pass = _loaded("forward_pass"), _loaded("backward_pass")
_forward, _backward = _loaded("forward"), _loaded("backward")


def captaine_rnn(x, y, U, V, W, b_hidden, b_out):
    parameters = U, V, W, b_hidden, b_out
    x, y = np.eye(len(b_out))[np.array([x, y])][..., np.newaxis]
    outputs, states = _forward_pass(x, np.zeros_like(b_hidden), parameters)
    return _backward_pass(x, outputs, states, y, parameters)[1]


def captaine_lstm(x, y, h, c, W_f, W_i, W_g, W_o, W_v, b_f, b_i, b_g, b_o, b_v):
    parameters = W_f, W_i, W_g, W_o, W_v, b_f, b_i, b_g, b_o, b_v
    _forward.__globals__["hidden_size"] = _backward.__globals__["hidden_size"] = len(b_f)
    x, y = np.eye(len(b_v))[np.array([x, y])][..., np.newaxis]
    z, f, i, g, C, o, h, v, outputs = _forward(x, h, c, parameters)
    return _backward(z, f, i, g, C, o, h, v, outputs, y, parameters)[1]
