"""The network with its state rounded to b bits, in both packages."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adders import trained
from agreement import assert_within, numpy_array
from rnn_numpy import Params, bounds, bptt, forward, initial_params
from rnn_numpy.proof.explore import explore
from rnn_numpy.tasks.addition import encode
from rnn_numpy.training.recipe import Recipe, start
from rnn_torch import ElmanRNN, FusedElmanRNN, autograd_gradient
from rnn_torch.elman_network.model import squared_error


@given(
    bits=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    model_class=st.sampled_from([ElmanRNN, FusedElmanRNN]),
)
def test_rounded_states_in_both_packages(
    bits: int, seed: int, dtype: type[np.floating[Any]], model_class: type[ElmanRNN]
) -> None:
    rng = np.random.RandomState(seed)
    time, batch, n_in, hidden, n_out = rng.randint(1, [9, 4, 4, 9, 3]).tolist()
    params = initial_params(rng, n_in, hidden, n_out, dtype)
    x, y = rng.randn(time, batch, n_in).astype(dtype), rng.rand(time, batch, n_out).astype(dtype)
    h_0 = rng.rand(batch, hidden).astype(dtype)
    allowed = bounds(params, x, y, h_0=h_0, state_bits=bits)
    outputs, trace = forward(params, x, h_0, state_bits=bits)
    in_steps = trace.states[1:] * 2**bits
    assert (in_steps == np.rint(in_steps)).all()
    assert np.abs(trace.states[1:] - trace.unrounded).max() <= 2.0 ** -(bits + 1)

    model = model_class.from_params(params)
    o, h = model(torch.from_numpy(x), torch.from_numpy(h_0), state_bits=bits)
    squared_error(o, torch.from_numpy(y)).backward()
    by_hand = {"outputs": outputs, "states": trace.states[1:], **bptt(params, trace, y)._asdict()}
    by_autograd = {"outputs": numpy_array(o), "states": numpy_array(h)}
    by_autograd |= {name: numpy_array(p.grad) for name, p in model.named_parameters()}
    limits = {"outputs": allowed.outputs, "states": allowed.states, **allowed.params._asdict()}
    assert_within(by_hand, by_autograd, limits)


def test_ties_to_even_and_straight_through_gradients() -> None:
    # sigmoid(0) = 1/2 and sigmoid(log 3) = 3/4: with 1 bit, one is a multiple and one is a tie.
    z = np.array([[[0.0, np.log(3), -np.log(3)]]])
    params = Params(np.eye(3), np.zeros((3, 3)), np.ones((3, 1)))
    _, trace = forward(params, z, state_bits=1)
    assert trace.states[1].tolist() == [[0.5, 1.0, 0.0]]  # 1.5 to 2, 0.5 to 0
    model = ElmanRNN.from_params(params)
    x = torch.tensor(z, requires_grad=True)
    _, states = model(x, state_bits=1)
    states.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(states.detach().numpy(), trace.states[1:])
    np.testing.assert_allclose(x.grad[0, 0], [1 / 4, 3 / 16, 3 / 16], rtol=1e-15)


def test_a_network_learns_under_the_rounding() -> None:
    """With two bits for a state the straight-through gradient reduces the loss."""
    params, rng = start(Recipe(seed=0, bits=4))
    model = ElmanRNN.from_params(params)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pairs = rng.randint(8, size=(300, 2, 32))
    losses = []
    for a, b in pairs.tolist():
        x, y = (torch.from_numpy(array) for array in encode(a, b, 4))
        loss = squared_error(model(x, state_bits=2)[0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


@pytest.mark.unannotated
@pytest.mark.parametrize("bits", [0, 17, -1])
def test_state_bits_out_of_range(bits: int) -> None:
    params = trained(3)
    x = np.zeros((1, 1, 2))
    with pytest.raises(ValueError, match=f"state_bits must be 1 to 16, got {bits}"):
        forward(params, x, state_bits=bits)
    with pytest.raises(ValueError, match=f"state_bits must be 1 to 16, got {bits}"):
        explore(params, bits)
    with pytest.raises(ValueError, match=f"state_bits must be 1 to 16, got {bits}"):
        ElmanRNN.from_params(params)(torch.from_numpy(x), state_bits=bits)
    with pytest.raises(TypeError, match=r"state_bits must be an integer or None, got 2\.5"):
        forward(params, x, state_bits=2.5)  # type: ignore[arg-type]


def test_rounded_states_have_another_gradient() -> None:
    """Without rounding the same problem has another gradient, so the test before can fail."""
    params = trained(3)
    x, y = encode([123], [45], 8)
    _, trace = forward(params, x, state_bits=3)
    rounded = bptt(params, trace, y)
    exact = autograd_gradient(ElmanRNN.from_params(params), x, y)
    allowed = bounds(params, x, y).params
    assert (np.abs(rounded.W - exact.W) > 2 * allowed.W).any()
