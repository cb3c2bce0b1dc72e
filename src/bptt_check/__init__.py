"""Check the hand-written backward pass of any recurrent network against torch's autograd."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bptt_check.compare import compare_gradients
    from bptt_check.testing import assert_gradient_parity, check, problems
else:
    # Loaded when first used: the process in which a candidate runs must not load torch.
    _LATER = {
        "assert_gradient_parity": "bptt_check.testing",
        "check": "bptt_check.testing",
        "compare_gradients": "bptt_check.compare",
        "problems": "bptt_check.testing",
    }

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LATER[name]), name)


__all__ = ["assert_gradient_parity", "check", "compare_gradients", "problems"]
