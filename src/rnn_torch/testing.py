"""Helpers for your own tests: those of `bptt_check.testing`, and our passes among the oracles."""

from bptt_check.testing import (
    Problem,
    assert_gradient_parity,
    assert_layer_parity,
    check,
    check_layer,
    compare_gradients,
    problems,
    triton_on_cpu,
)
from rnn_torch import check as _  # noqa: F401 - RTRL and complex step vote

__all__ = [
    "Problem",
    "assert_gradient_parity",
    "assert_layer_parity",
    "check",
    "check_layer",
    "compare_gradients",
    "problems",
    "triton_on_cpu",
]
