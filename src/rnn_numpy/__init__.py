"""An Elman RNN with a hand-written back-propagation through time, in NumPy alone.

It also contains the task, the parameters, the files and the rounding bounds; `rnn_torch` has the
same network in torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bptt_check.commands.numbers import fraction as fraction
    from rnn_numpy.elman_network.complex_step import complex_step as complex_step
    from rnn_numpy.elman_network.model import Gradients as Gradients
    from rnn_numpy.elman_network.model import Trace as Trace
    from rnn_numpy.elman_network.model import absolute_error as absolute_error
    from rnn_numpy.elman_network.model import bptt as bptt
    from rnn_numpy.elman_network.model import forward as forward
    from rnn_numpy.elman_network.model import squared_error as squared_error
    from rnn_numpy.elman_network.model import vjp as vjp
    from rnn_numpy.elman_network.params import Params as Params
    from rnn_numpy.elman_network.params import check_params as check_params
    from rnn_numpy.elman_network.params import initial_params as initial_params
    from rnn_numpy.elman_network.rounding import bounds as bounds
    from rnn_numpy.elman_network.rtrl import rtrl as rtrl
    from rnn_numpy.elman_network.textbook import textbook as textbook

_MODULES = {
    "bptt_check.commands.numbers": "fraction",
    "rnn_numpy.elman_network.complex_step": "complex_step",
    "rnn_numpy.elman_network.model":
        "Gradients Trace absolute_error bptt forward squared_error vjp",
    "rnn_numpy.elman_network.params": "Params check_params initial_params",
    "rnn_numpy.elman_network.rounding": "bounds",
    "rnn_numpy.elman_network.rtrl": "rtrl",
    "rnn_numpy.elman_network.textbook": "textbook",
}  # fmt: skip
# Each is loaded when it is first used.
_LATER = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = [*_LATER]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
