"""Call a layer of rushter/MLAlgorithms, without its package and without autograd."""

import os
import sys
from types import SimpleNamespace

import numpy as np

from benchmarks.trust.public.form import published


class _Parameters(dict):
    def update_grad(self, name, value):
        self.gradients[name] = value


_stubs = SimpleNamespace(numpy=np, Layer=SimpleNamespace, ParamMixin=object, Parameters=dict)
_stubs.get_initializer, _stubs.get_activation = str, {"tanh": np.tanh}.get
_stubs.sigmoid = lambda z: 0.5 * (1 + np.tanh(0.5 * z))
_stubs.elementwise_grad = lambda f: lambda z: f(z + 1e-200j).imag / 1e-200  # the complex step
_names = ("activations", "initializations", "layers", "parameters")
_autograd = {"autograd": _stubs, "autograd.numpy": np}
sys.modules.update(_autograd | {f"mla.neuralnet.{name}": _stubs for name in _names})
_layer = published(os.path.basename(os.environ["PUBLISHED"])[:-3].upper())


def rushter_rnn(X, W, U, b, delta):
    layer, parameters = _made(X, b, W=W, U=U, b=b)
    layer.forward_pass(X)
    return parameters.gradients | {"X": layer.backward_pass(delta)}


def rushter_lstm(X, W_i, W_f, W_o, W_c, U_i, U_f, U_o, U_c, b_i, b_f, b_o, b_c, delta):
    U, b = {"U_i": U_i, "U_f": U_f, "U_o": U_o, "U_c": U_c}, {"b_i": b_i, "b_f": b_f}
    W = {"W_i": W_i, "W_f": W_f, "W_o": W_o, "W_c": W_c}
    layer, parameters = _made(X, b_i, **W, **U, **b, b_o=b_o, b_c=b_c)
    layer.W, layer.U, layer.oprev = [*W.values()], [*U.values()], layer.hprev
    layer.forward_pass(X)
    layer.backward_pass(delta)
    return parameters.gradients


def _made(X, b, /, **values):
    parameters = _Parameters(values)
    parameters.gradients = {}
    layer = _layer(len(b), parameters=parameters)
    layer.input_dim, layer.hprev = X.shape[2], np.zeros((len(X), len(b)))
    return layer, parameters
