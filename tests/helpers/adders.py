"""Networks for proofs: trained ones, and random ones for any target."""

from functools import cache

import numpy as np

from rnn_numpy import Params, initial_params
from rnn_numpy.tasks.addition import draw_pairs
from rnn_numpy.tasks.targets import Target, addition, comparison, multiplication, subtraction
from rnn_numpy.training.recipe import Dtype, Recipe, start
from rnn_numpy.training.sgd import choose

TARGETS = (addition, subtraction, comparison, multiplication(3), multiplication(1))


@cache
def trained(seed: int, dtype: Dtype = "float64") -> Params:
    """The recipe's weights."""
    recipe = Recipe(seed=seed, dtype=dtype)
    params, rng = start(recipe)
    learner = choose(None, recipe.hidden).learner(params, recipe)
    learner.descend(draw_pairs(rng, recipe.bits, recipe.iterations))
    return learner.params()


def random_params(seed: int, target: Target, hidden: int, scale: float, dtype: str) -> Params:
    params = initial_params(np.random.RandomState(seed), target.operands, hidden, 1)
    return Params(*((scale * p).astype(dtype) for p in params))
