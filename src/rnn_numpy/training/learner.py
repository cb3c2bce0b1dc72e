"""The engines in NumPy, and their learner, used by `rnn_numpy.train` and the sweep."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.params import Params
from rnn_numpy.tasks.exact_sums import advance
from rnn_numpy.training.recipe import Recipe
from rnn_numpy.training.sgd import engine_for, sgd


class NumPyLearner:
    """Plain SGD on (4) by `rnn_numpy.training.sgd`, on a copy of the weights."""

    audit = None

    def __init__(self, params: Params, recipe: Recipe, engine: str | None = None) -> None:
        copy = Params(*(np.array(array, order="C") for array in params))
        self._sgd = sgd(copy, recipe.bits, recipe.learning_rate, engine, recipe.batch_size)
        self.stride = self._sgd.stride

    def descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """Like `OnlineSGD.descend`."""
        return self._sgd.descend(pairs)

    def advance(
        self, h: Float[np.ndarray, "batch hidden"], x: Float[np.ndarray, "1 batch 2"]
    ) -> tuple[Float[np.ndarray, "1 batch 1"], Float[np.ndarray, "batch hidden"]]:
        """One time step of the network: the outputs and the next states."""
        return advance(self._sgd.params, h, x)

    def params(self) -> Params:
        """A copy of the current weights."""
        return Params(*(array.copy() for array in self._sgd.params))


class NumPyEngine(NamedTuple):
    """`compiled`, the kernel, or `numpy`, the same loop."""

    name: str

    def learner(self, params: Params, recipe: Recipe) -> NumPyLearner:
        """As `Engine.learner`."""
        return NumPyLearner(params, recipe, self.name)


def choose(name: str | None, hidden: int) -> NumPyEngine:
    """The engine of this name, or the faster one for this size; raises as `engine_for`."""
    return NumPyEngine(engine_for(hidden, name))
