"""The Elman RNN as a torch.nn.Module, and the parity of its gradient with the hand-written one."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import torch as _  # noqa: F401
except (ImportError, OSError) as _error:
    _program, _kind = Path((sys.argv or [""])[0]).stem, ImportError
    _hint = f"torch cannot be imported: {_error}".splitlines()[0]
    if find_spec("torch") is None:
        _hint, _kind = "rnn_torch needs torch: pip install torch", ModuleNotFoundError
        if _program.startswith("bptt-"):  # installed, so pip adds what is missing
            _hint = f'{_program} needs torch: pip install "rnn-bptt-reference[torch]"'
    if _program.startswith(("bptt-", "-m")):  # a command; exit code 1 would be a verdict
        print(_hint, file=sys.stderr)
        raise SystemExit(2) from None
    raise _kind(_hint, name="torch") from _error

from rnn_torch.elman_network.model import ElmanRNN, absolute_error, autograd_gradient, squared_error
from rnn_torch.elman_network.tanh_form import TanhElmanRNN, from_nn_rnn, to_nn_rnn

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
    "TanhElmanRNN",
    "absolute_error",
    "autograd_gradient",
    "compare_gradients",
    "elman",
    "from_nn_rnn",
    "gradient_parity",
    "squared_error",
    "to_nn_rnn",
]
