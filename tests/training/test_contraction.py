"""Training that makes steps contract: its gradient equals autograd's, and networks are proved."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from profiles import nightly
from rnn_numpy.elman_network.model import forward, vjp
from rnn_numpy.elman_network.params import Params, initial_params
from rnn_numpy.real_proof.cover import TooManySets
from rnn_numpy.real_proof.verdict import GaveUp, Proved, prove_real
from rnn_numpy.tasks.targets import subtraction
from rnn_numpy.training.contraction import PENALTY, Contraction, penalty_gradient
from rnn_numpy.training.recipe import Dtype


def small(seed: int, time: int, batch: int, hidden: int) -> tuple[Params, np.ndarray, np.ndarray]:
    rng = np.random.RandomState(seed)
    params = initial_params(rng, 2, hidden, 1, "float64")
    return params, rng.randint(2, size=(time, batch, 2)) * 1.0, rng.rand(time, batch, 1)


@given(st.integers(0, 2**16), st.integers(1, 6), st.integers(1, 3), st.integers(1, 5))
def test_the_gradient_of_the_penalty_is_that_of_the_jacobians_norm_by_autograd(
    seed: int, time: int, batch: int, hidden: int
) -> None:
    params, x, y = small(seed, time, batch, hidden)
    U, W, V = (torch.tensor(array, requires_grad=True) for array in params)
    loss: Any = 0.0
    R: Any = 0.0
    h = torch.zeros(batch, hidden, dtype=torch.float64)
    for x_t, y_t in zip(torch.tensor(x), torch.tensor(y), strict=True):
        previous = h if h.requires_grad else h.requires_grad_()
        h = torch.sigmoid(x_t @ U + previous @ W)
        for k in range(hidden):  # a row of each example's Jacobian
            (row,) = torch.autograd.grad(h[:, k].sum(), previous, create_graph=True)
            R = R + row.square().sum()
        loss = loss + (torch.sigmoid(h @ V) - y_t).square().sum() / 2
    wanted = torch.autograd.grad(loss + 0.3 * R, [U, W, V])

    outputs, trace = forward(params, x)
    into_states, into_W = penalty_gradient(params, trace)
    got = vjp(params, trace, outputs - y, into_states=0.3 * into_states).params
    for mine, theirs in zip((got.U, got.W + 0.3 * into_W, got.V), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-10, atol=1e-13)


def learned(dtype: Dtype, steps: int, penalty: float = PENALTY) -> Params:
    params = initial_params(np.random.RandomState(5), 2, 8, 1, dtype)
    training = Contraction(params, subtraction, 0, penalty=penalty)
    training.train(steps)
    return training.params


@pytest.mark.unannotated
@nightly
def test_a_network_learns_to_subtract_and_is_proved_because_of_the_penalty() -> None:
    """From random weights."""
    assert isinstance(prove_real(learned("float64", 1700), subtraction), Proved)
    without = learned("float64", 1700, penalty=0.0)
    verdict = prove_real(without, subtraction, limit=300)
    assert isinstance(verdict, GaveUp)
    assert isinstance(verdict.reason, TooManySets)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_seed_gives_the_same_weights_in_their_dtype(dtype: Dtype) -> None:
    one, other = learned(dtype, 20), learned(dtype, 20)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert {array.dtype.name for array in one} == {dtype}
