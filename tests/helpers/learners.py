"""Every engine of the recipe, for tests of all engines."""

from collections.abc import Callable

import pytest

from rnn_numpy import Params
from rnn_numpy.training.recipe import Engine, Learner, Recipe, Training
from rnn_numpy.training.sgd import CompiledSGD, NumPySGD
from rnn_torch.training.learners import AutogradLearner, CompiledLearner, FusedLearner

Make = Callable[[Params, Recipe], Learner]


ENGINES: list[Make] = [NumPySGD, CompiledSGD, AutogradLearner, FusedLearner, CompiledLearner]

NAMES = ["numpy", "numpy-compiled", "torch", "torch-fused", "torch-compiled"]


def taken(make: Make, recipe: Recipe) -> Training:
    """A training by the recipe, from its first step to its last."""
    training = Training(recipe, Engine("made", make))
    for _ in training.run():
        pass
    assert training.status == "finished"
    return training


learners = pytest.mark.parametrize("make", ENGINES, ids=NAMES)
