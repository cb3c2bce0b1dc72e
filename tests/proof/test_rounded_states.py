"""The network with its state rounded to b bits."""

import numpy as np
import pytest

from adders import trained
from rnn_numpy import Params, initial_params
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import run_rounded


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bits", [1, 5, 16])
def test_every_step_starts_from_the_rounded_state(bits: int, dtype: str) -> None:
    rng = np.random.RandomState(bits)
    U, W, V = params = initial_params(rng, 3, 5, 2, dtype)
    x = rng.randn(7, 4, 3).astype(dtype)
    outputs, states = run_rounded(params, x, bits)
    np.testing.assert_array_equal(states * 2**bits, np.rint(states * 2**bits))
    assert states.dtype == dtype
    before = np.concatenate([np.zeros_like(states[:1]), states[:-1]])
    unrounded = 1 / (1 + np.exp(-(x @ U + before @ W)))
    assert np.abs(states - unrounded).max() <= 2.0 ** -(bits + 1) * (1 + 1e-4)
    np.testing.assert_allclose(outputs, 1 / (1 + np.exp(-states @ V)), rtol=1e-5)


def test_ties_to_even() -> None:
    # sigmoid(0) = 1/2 and sigmoid(log 3) = 3/4: with 1 bit, one is a multiple and one is a tie.
    z = np.array([[[0.0, np.log(3), -np.log(3)]]])
    params = Params(np.eye(3), np.zeros((3, 3)), np.ones((3, 1)))
    _, states = run_rounded(params, z, 1)
    assert states.tolist() == [[[0.5, 1.0, 0.0]]]  # 1.5 to 2, 0.5 to 0


@pytest.mark.unannotated
@pytest.mark.parametrize("bits", [0, 17, -1])
def test_state_bits_out_of_range(bits: int) -> None:
    with pytest.raises(ValueError, match=f"state_bits must be 1 to 16, got {bits}"):
        explore(trained(3), bits)
    with pytest.raises(TypeError, match=r"state_bits must be an integer, got 2\.5"):
        explore(trained(3), 2.5)  # type: ignore[arg-type]
