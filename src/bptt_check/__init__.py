"""Check the backward pass of any recurrent network or layer against torch's autograd."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bptt_check.compare import compare_gradients
    from bptt_check.layers import layer
    from bptt_check.testing import (
        assert_gradient_parity,
        assert_layer_parity,
        check,
        check_layer,
        problems,
    )
else:
    # Loaded when first used: the process in which a candidate runs must not load torch.
    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = "layers" if name == "layer" else "testing"
        return getattr(import_module(f"bptt_check.{room}"), name)


__all__ = [
    "assert_gradient_parity",
    "assert_layer_parity",
    "check",
    "check_layer",
    "compare_gradients",
    "layer",
    "problems",
]
