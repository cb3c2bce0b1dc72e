"""One step of the network from a b-bit state, with a bound on the error of any evaluation of it.

Equations (1)-(3) for many states at once. Rounded states are exact numbers, so each step's
rounding error starts from zero; `running_error.py` bounds it.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.running_error import Arithmetic, Rounded


class RoundedNetwork:
    """One step of the network from b-bit states, and how far any evaluation of it may be off."""

    @np.errstate(over="ignore", invalid="ignore")  # then the error is infinite
    def __init__(self, params: Params, state_bits: int) -> None:
        self.U, self.W, self.V = (array.astype(np.float64) for array in params)
        self.hidden = len(self.W)
        self.state_bits, self.unit = state_bits, 2.0**-state_bits
        kinds: list[Any] = [np.uint8, np.uint16, np.uint32]
        self.dtype = next(kind for kind in kinds if 2**state_bits <= np.iinfo(kind).max)
        # Every state and input lies between 0 and 1, so these bound the errors at all of them.
        # `value` is an evaluation too: any other is within twice the error of it.
        rounded = Arithmetic(params.W.dtype)
        ones = [Rounded.of(np.ones((1, len(array)))) for array in params]
        weights = [rounded.given(np.abs(array)) for array in (self.U, self.W, self.V)]
        z_error = rounded.dot((ones[0], weights[0]), (ones[1], weights[1])).error
        o_error = rounded.dot((ones[2], weights[2])).error
        flat = [Rounded(np.zeros_like(error), error) for error in (z_error, o_error)]
        state_error, output_error = (2 * rounded.bound(rounded.sigmoid(each)) for each in flat)
        self.state_error, self.output_error = float(state_error.max()), float(output_error.max())

    def step(
        self, h: Float[np.ndarray, "states hidden"], inputs: Float[np.ndarray, "inputs n_in"]
    ) -> Float[np.ndarray, "states inputs hidden"]:
        """sigmoid(z) before rounding, in units of 2^-b (1), (2)."""
        z = (h @ self.W)[:, np.newaxis] + inputs @ self.U
        return _sigmoid(z) / self.unit

    def outputs(self, h: Float[np.ndarray, "states hidden"]) -> Float[np.ndarray, " states"]:
        """The outputs o (3) in these states."""
        return _sigmoid(h @ self.V)[:, 0]


def _sigmoid(z: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # exp(-z) = inf is right: sigmoid(z) = 0
        return 1 / (1 + np.exp(-z))
