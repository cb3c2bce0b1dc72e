"""An Elman RNN with a hand-written back-propagation through time, in NumPy alone.

It also contains the task, the parameters, the files and the rounding bounds; `rnn_torch` has the
same network in torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bptt_check.commands.numbers import fraction
    from rnn_numpy.elman_network.complex_step import complex_step
    from rnn_numpy.elman_network.model import (
        Gradients,
        Trace,
        absolute_error,
        bptt,
        forward,
        squared_error,
        vjp,
    )
    from rnn_numpy.elman_network.params import Params, check_params, initial_params
    from rnn_numpy.elman_network.rounding import bounds
    from rnn_numpy.elman_network.rtrl import rtrl
    from rnn_numpy.elman_network.textbook import textbook

else:
    # Loaded when first used: the process in which a candidate runs uses none of them.
    _LATER = {
        "complex_step": ["complex_step"],
        "model": [
            "Gradients",
            "Trace",
            "absolute_error",
            "bptt",
            "forward",
            "squared_error",
            "vjp",
        ],
        "params": ["Params", "check_params", "initial_params"],
        "rounding": ["bounds"],
        "rtrl": ["rtrl"],
        "textbook": ["textbook"],
    }
    _MODULES = {name: module for module, names in _LATER.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name == "fraction":
            return import_module("bptt_check.commands.numbers").fraction
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"rnn_numpy.elman_network.{_MODULES[name]}"), name)


__all__ = [
    "Gradients",
    "Params",
    "Trace",
    "absolute_error",
    "bounds",
    "bptt",
    "check_params",
    "complex_step",
    "forward",
    "fraction",
    "initial_params",
    "rtrl",
    "squared_error",
    "textbook",
    "vjp",
]
