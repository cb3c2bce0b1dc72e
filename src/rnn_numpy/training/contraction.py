"""Training that makes a network's steps contract, so that the network itself can be proved.

A step multiplies small errors of the state by its Jacobian, W diag(h_t (1 - h_t)) in rows. Its
squared Frobenius norm along the states visited is added to the loss (4):

    R = sum_t sum_k D_tk^2 n_k,  D_t = h_t (1 - h_t),  n_k = sum_j W_jk^2    (14)
    dR/dh_tk = 2 n_k D_tk (1 - 2 h_tk),  dR/dW_jk = 2 W_jk sum_t D_tk^2      (15)

Where errors shrink in every step, the sets of a proof are large, few, and closed under the steps
(`real_proof`). docs/training.md has the results, and other trainings that were tried.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.model import Trace, forward, vjp
from rnn_numpy.elman_network.params import Params
from rnn_numpy.tasks.targets import Target
from rnn_numpy.training.recipe import Diverged

#: The weight of R beside (4), and the sequences in a step of training, and their length.
PENALTY, SEQUENCES, STEPS = 0.03, 32, 24
#: Adam: step size, decay of the two moments, and the least denominator (Kingma and Ba 2015).
RATE, DECAY, LEAST = 0.01, (0.9, 0.999), 1e-8
#: How probably a sequence keeps its last input: one of these for each sequence.
KEEPS = (0, 0.5, 0.9)
#: One sequence in this many begins with a counterexample.
ONE_IN = 8


class Contraction:
    """A network in this training: `params`, which `train` updates in place."""

    def __init__(
        self, params: Params, target: Target, seed: int = 0, *, penalty: float = PENALTY
    ) -> None:
        self.params = Params(*(array.copy() for array in params))
        self.target, self.penalty = target, penalty
        self.rng = np.random.default_rng(seed)
        self.steps = 0
        self.moments = [[np.zeros_like(array) for array in params] for _ in DECAY]

    def train(self, steps: int, wrong: Sequence[Int64[np.ndarray, " inputs"]] = ()) -> None:
        """Take steps of Adam on (4) and the penalty, both as means over the sequences.

        Some sequences begin with inputs that the network got `wrong`. Raises Diverged where a
        gradient is not finite; no step was taken with it.
        """
        for _ in range(steps):
            self._step(self._gradient(self.params, self._draw(wrong)))

    def _gradient(self, params: Params, inputs: Int64[np.ndarray, "steps sequences"]) -> Params:
        right = self.target.run(inputs)
        dtype = params.W.dtype
        outputs, trace = forward(params, self.target.bits(inputs).astype(dtype))
        with np.errstate(over="ignore", invalid="ignore"):  # of weights near the largest number
            into_states, into_W = penalty_gradient(params, trace)
        if not (np.isfinite(into_states).all() and np.isfinite(into_W).all()):
            raise Diverged(self.steps)
        upstream = outputs - right[..., np.newaxis].astype(dtype)
        found = vjp(params, trace, upstream, into_states=dtype.type(self.penalty) * into_states)
        U, W, V = found.params
        return Params(*(g / inputs.shape[1] for g in (U, W + self.penalty * into_W, V)))

    def _draw(
        self, wrong: Sequence[Int64[np.ndarray, " inputs"]]
    ) -> Int64[np.ndarray, "steps sequences"]:
        """Random inputs; some sequences keep their last input often, and carries go far in them."""
        keeps = self.rng.choice(KEEPS, size=SEQUENCES)
        inputs = self.rng.integers(2**self.target.operands, size=(STEPS, SEQUENCES))
        kept = self.rng.random((STEPS, SEQUENCES)) < keeps
        for t in range(1, STEPS):
            inputs[t] = np.where(kept[t], inputs[t - 1], inputs[t])
        for i in range(0, SEQUENCES if wrong else 0, ONE_IN):
            some = wrong[int(self.rng.integers(len(wrong)))][:STEPS]
            inputs[: len(some), i] = some
        return inputs

    def _step(self, gradient: Params) -> None:
        self.steps += 1
        unbiased = [1 - decay**self.steps for decay in DECAY]
        for array, g, mean, square in zip(self.params, gradient, *self.moments, strict=True):
            mean += (1 - DECAY[0]) * (g - mean)
            square += (1 - DECAY[1]) * (g**2 - square)
            array -= RATE * (mean / unbiased[0]) / (np.sqrt(square / unbiased[1]) + LEAST)


def penalty_gradient(
    params: Params, trace: Trace
) -> tuple[Float[np.ndarray, "time batch hidden"], Float[np.ndarray, "hidden hidden"]]:
    """dR/dh_t, and dR/dW for fixed states: (15)."""
    h = trace.states[1:]
    slopes = h * (1 - h)
    into_states = 2 * (params.W**2).sum(axis=0) * slopes * (1 - 2 * h)  # (15)
    return into_states, 2 * params.W * (slopes**2).sum(axis=(0, 1))  # (15)
