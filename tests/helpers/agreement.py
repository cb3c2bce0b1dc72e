"""The comparison of all parity tests, by the rounding bound."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from problems import Array, Problem
from rnn_numpy import Params, bounds, fraction
from rnn_numpy.elman_network.textbook import Backward
from rnn_torch import ElmanRNN, autograd_gradient


def assert_within(
    got: Mapping[str, Any],
    expected: Mapping[str, Any],
    bound: Mapping[str, Any],
    limit: float = 1.0,
) -> None:
    """Raise AssertionError, naming the worst entry, unless `got` and `expected` agree to rounding.

    `limit` is the part of the allowed distance that may be used: 0.5 for one evaluation against
    the exact result, 1 for two evaluations.
    """
    assert got.keys() == expected.keys() == bound.keys()
    for name, one in got.items():
        other, allowed = expected[name], bound[name]
        assert one.shape == other.shape == allowed.shape, f"{name} has shape {one.shape}"
        used = fraction(one, other, allowed)
        worst = np.unravel_index(np.argmax(used), used.shape)
        assert used[worst] <= limit, (
            f"{name}{[int(i) for i in worst]}: got {one[worst]!r}, expected {other[worst]!r}, "
            f"{used[worst]:.3g} times what rounding allows"
        )


def assert_gradients(got: Params, expected: Params, bound: Params, limit: float = 1.0) -> None:
    """`assert_within` for the gradients of U, W and V."""
    assert_within(got._asdict(), expected._asdict(), bound._asdict(), limit)


def assert_right(backward: Backward, problem: Problem) -> None:
    """Raise AssertionError unless a hand-written backward pass is right here, every time."""
    params, x, targets, _ = problem
    expected = autograd_gradient(ElmanRNN.from_params(params), x, targets)
    allowed = bounds(params, x, targets).params
    for _call in ("first", "second"):  # a stale buffer shows only in the second
        assert_gradients(Params(*backward(x, targets, *params)), expected, allowed)


def torch_forward(problem: Problem) -> tuple[ElmanRNN, torch.Tensor, torch.Tensor]:
    """The torch twin of a problem: the model, its outputs and its states."""
    model = ElmanRNN.from_params(problem.params)
    outputs, states = model(torch.tensor(problem.x), torch.tensor(problem.h_0))
    return model, outputs, states


def numpy_array(tensor: torch.Tensor | None) -> Array:
    """The values of a tensor that has some."""
    assert tensor is not None
    return tensor.numpy(force=True)
