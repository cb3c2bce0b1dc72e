"""Networks for proofs: trained ones, and random ones for any target."""

import numpy as np

from rnn_numpy import Params, initial_params
from rnn_numpy.tasks.addition import draw_pairs
from rnn_numpy.tasks.targets import Target, addition, comparison, multiplication, subtraction
from rnn_numpy.training.recipe import Dtype, Recipe, start
from rnn_numpy.training.sgd import sgd

TARGETS = (addition, subtraction, comparison, multiplication(3), multiplication(1))


def trained(seed: int, dtype: Dtype = "float64") -> Params:
    """The recipe's weights."""
    params, rng = start(Recipe(seed=seed, dtype=dtype))
    sgd(params, 8, 0.1).descend(draw_pairs(rng, 8, 20_000))
    return params


def random_params(seed: int, target: Target, hidden: int, scale: float, dtype: str) -> Params:
    params = initial_params(np.random.RandomState(seed), target.operands, hidden, 1)
    return Params(*((scale * p).astype(dtype) for p in params))
