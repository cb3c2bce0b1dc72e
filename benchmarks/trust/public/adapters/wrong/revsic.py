"""Run the training step of revsic's notebook, which is in no function, up to the update."""

import ast
import os

import numpy as np

from bptt_check.candidate.loading import load_function, parsed

_file = os.environ["PUBLISHED"]
_names = load_function(_file, "LSTM_Cell", definitions_only=True).__globals__
_loop = next(node for node in parsed(_file)[1].body if isinstance(node, ast.For))
_last = next(n for n, node in enumerate(_loop.body) if isinstance(node, ast.For))
#: From `caches, states = LSTM_Cell(Xt)` to the loop over time.
_step = compile(ast.Module(_loop.body[3 : _last + 1], []), _file, "exec")


def revsic(Xt, Y, wf, wi, wo, wc, wy, bf, bi, bo, bc, by):
    weights = {"wf": wf, "wi": wi, "wo": wo, "wc": wc, "wy": wy}
    weights |= {"bf": bf, "bi": bi, "bo": bo, "bc": bc, "by": by}
    _names.update(weights, Xt=Xt, Y=np.eye(len(by))[Y], HIDDEN=len(bf))
    _names.update({f"d{name}": np.zeros_like(value) for name, value in weights.items()})
    exec(_step, _names)
    return {name: _names[f"d{name}"] for name in weights}
