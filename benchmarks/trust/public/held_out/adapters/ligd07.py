"""Call the layer of ligd07/RNN-Numpy."""

import os

from bptt_check.candidate.loading import load_function

_RNN = load_function(os.environ["PUBLISHED"], "RNN")


def rnn(x, h, U, W, B, grad_in):
    layer = _RNN("", *U.shape)
    layer.U, layer.W, layer.B = U, W, B
    layer.forward(x, h)
    dx = layer.backward(grad_in)
    return {"x": dx, "U": layer.grad_U, "W": layer.grad_W, "B": layer.grad_B}
