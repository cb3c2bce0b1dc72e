"""An Elman RNN with a hand-written back-propagation through time, in NumPy alone.

It also contains the task, the parameters, the files and the rounding bounds; `rnn_torch` has the
same network in torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from rnn_numpy.elman_network.rounding import bounds, fraction
    from rnn_numpy.elman_network.rtrl import rtrl
    from rnn_numpy.elman_network.textbook import textbook

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

if not TYPE_CHECKING:
    # Loaded when first asked for: the process in which a candidate runs asks for none of them.
    def __getattr__(name: str) -> Any:
        if name in __all__:
            for module in ("model", "params", "rounding", "complex_step", "rtrl", "textbook"):
                found = vars(import_module(f"rnn_numpy.elman_network.{module}"))
                if name in found:
                    return found[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
