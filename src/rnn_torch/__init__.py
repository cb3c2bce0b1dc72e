"""The Elman RNN as a torch.nn.Module, and the parity of its gradient with the hand-written one."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bptt_check.commands.needs import require_torch

require_torch("rnn_torch")

from rnn_torch.elman_network.model import ElmanRNN, absolute_error, autograd_gradient, squared_error
from rnn_torch.elman_network.tanh_form import from_nn_rnn, to_nn_rnn

if TYPE_CHECKING:
    from bptt_check.compare import compare_gradients
    from rnn_torch.elman_network.parity import gradient_parity
    from rnn_torch.fused.layer import FusedElmanRNN, elman
else:
    # The judge and the fused layer are loaded when they are first asked for.
    _LATER = {
        "compare_gradients": "bptt_check.compare",
        "gradient_parity": "rnn_torch.elman_network.parity",
        "FusedElmanRNN": "rnn_torch.fused.layer",
        "elman": "rnn_torch.fused.layer",
    }

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LATER[name]), name)


__all__ = [
    "ElmanRNN",
    "FusedElmanRNN",
    "absolute_error",
    "autograd_gradient",
    "compare_gradients",
    "elman",
    "from_nn_rnn",
    "gradient_parity",
    "squared_error",
    "to_nn_rnn",
]
