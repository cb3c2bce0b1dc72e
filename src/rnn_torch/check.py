"""python -m rnn_torch.check FILE.py:FUNCTION: is this hand-written backward pass right?

The command of `bptt_check`. Without a file it checks this project's own passes; of these, real-time
recurrent learning and the complex step vote on the network of docs/bptt.md.
"""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from bptt_check import __main__ as command
from bptt_check import subjects
from bptt_check.reports.readable import ReadableReport
from bptt_check.testing import check
from rnn_numpy.elman_network.complex_step import complex_step
from rnn_numpy.elman_network.model import bptt, forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.rtrl import rtrl
from rnn_numpy.elman_network.textbook import textbook
from rnn_torch.elman_network.model import autograd_gradient
from rnn_torch.fused.layer import FusedElmanRNN

Array = np.ndarray


def _rtrl(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, ...]:
    return rtrl(Params(U, W, V), *_with_batch(x, y))


def _complex_step(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, ...]:
    return complex_step(Params(U, W, V), *_with_batch(x, y))


def _with_batch(*arrays: Array) -> list[Array]:
    """With a batch axis, which the recipe's form has not."""
    return [a if a.ndim == 3 else a[:, np.newaxis] for a in arrays]


subjects.ORACLES |= {"complex step": _complex_step, "RTRL": _rtrl}


def own_passes(window: int | None) -> list[command.OwnPass]:
    """This project's backward passes; only `bptt` truncates."""

    def by_hand(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, ...]:
        params = Params(U, W, V)
        return bptt(params, forward(params, x)[1], y, window=window)

    def fused(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, ...]:
        return autograd_gradient(FusedElmanRNN.from_params(Params(U, W, V)), x, y)

    passes = [command.OwnPass("rnn_numpy.bptt", by_hand)]
    if window is None:
        passes += [
            command.OwnPass("rnn_numpy.textbook", textbook),
            command.OwnPass("rnn_numpy.rtrl", _rtrl),
            command.OwnPass("rnn_numpy.complex_step", _complex_step, is_slow=True),
            command.OwnPass("rnn_torch.fused", fused),
        ]
    return passes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command.main(argv, program="rnn_torch.check", own_passes=own_passes)


class _Callable(ModuleType):
    """Makes the module callable, for `from rnn_torch import check; check(backward)`."""

    def __call__(self, *args: Any, **kwargs: Any) -> ReadableReport:
        return check(*args, **kwargs)


if __name__ == "__main__":
    sys.exit(main())
sys.modules[__name__].__class__ = _Callable
