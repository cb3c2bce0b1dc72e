"""Call the pass of qixianbiao/RNN: the gradients are what it clips, which is not done here.

Its softmax adds 1e-11, which is left out. No forward pass uses Bhh: its gradient is dropped.
"""

from types import SimpleNamespace

import numpy as np

from benchmarks.trust.public.form import published

_RNN = published("RNN")
_clipped = []
_numpy = SimpleNamespace(**vars(np))
_numpy.clip = lambda gradient, *_, out: _clipped.append(gradient)
_RNN.backword.__globals__.update(np=_numpy, sigmoid=lambda z: np.exp(z) / np.exp(z).sum())


def qixianbiao(x, y, h, Wyh, Byh, Wxh, Bxh, Whh):
    _clipped.clear()
    model = object.__new__(_RNN)
    weights = {"h": h, "Wyh": Wyh, "Byh": Byh, "Wxh": Wxh, "Bxh": Bxh, "Whh": Whh, "Bhh": 0 * Bxh}
    vars(model).update({name: its.copy() for name, its in weights.items()})  # it updates them
    states, output = model.forward(x)
    model.backword(x, np.eye(len(Byh))[y].T, states, output)
    return dict(zip(("Wyh", "Byh", "Wxh", "Bxh", "Whh"), _clipped, strict=False))
