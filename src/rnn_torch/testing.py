"""Helpers for your own tests: those of `bptt_check.testing`, and our passes among the oracles."""

from bptt_check.testing import *  # noqa: F403
from bptt_check.testing import __all__ as __all__
from rnn_torch import check as _  # noqa: F401 - RTRL and complex step vote
