"""Continue training after the recipe, on counterexamples, until the network is proved to add.

With a rounded state: a failed proof gives a shortest counterexample. In the next round of SGD one
example in ten begins with a counterexample found so far; then the next proof is tried
(counterexample-guided synthesis: Solar-Lezama et al., ASPLOS 2006). The few networks without
progress restart from the recipe's weights, at three times the learning rate.

The network itself: training that makes its steps contract (`contraction.py`), on counterexamples
as above. docs/proof.md and docs/rounded-proof.md have the results, and other methods tried.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.explore import LIMIT, explore
from rnn_numpy.proof.machine import Verdict
from rnn_numpy.real_proof.verdict import RealVerdict, prove_real
from rnn_numpy.tasks.addition import draw_pairs, from_bits
from rnn_numpy.tasks.targets import addition
from rnn_numpy.training.contraction import Contraction
from rnn_numpy.training.recipe import Diverged, Learner, Recipe, same

#: Bits of the sums in these rounds, unless the recipe has more.
BITS = 32
#: SGD steps between two proofs, and between two restarts from the recipe's weights.
ROUND, ATTEMPT = 1_000, 20_000
#: Adam steps of `contraction.py` between two proofs of the network itself.
CONTRACTING_ROUND = 600
#: Sets at most in these proofs, unless told otherwise: training on is quicker than a larger proof.
FEW_SETS = 10_000
#: One example in this many begins with a counterexample.
ONE_IN = 10
#: The learning rates of the attempts in turn, as multiples of the recipe's.
RATES = (1, 3)


class Outcome(NamedTuple):
    """A network and the verdict of its proof, `steps` after the end of the recipe."""

    params: Params
    verdict: Verdict | RealVerdict
    steps: int


def until_proved(
    recipe: Recipe,
    params: Params,
    rng: np.random.RandomState,
    state_bits: int | None,
    make_learner: Callable[[Params, Recipe], Learner],
    *,
    most_steps: int,
    limit: int | None = None,
) -> Iterator[Outcome]:
    """Train on from the recipe's weights until they are proved to add.

    Yields the outcome for the recipe's weights, and for the weights after each round of steps. The
    last one is the result; the caller may stop after any.

    Args:
        recipe, params: a finished run of the recipe.
        state_bits, limit: as for `explore`; without state bits, as for `prove_real`.
        rng, make_learner: with state bits, the run's generator, and what makes a network in
            training from a copy of the weights: `Engine.learner`.
        most_steps: largest number of steps.
    """
    if state_bits is None:
        yield from _until_proved_as_trained(recipe, params, most_steps, limit or FEW_SETS)
        return
    found: list[tuple[int, int, int]] = []
    outcome = Outcome(params, explore(params, state_bits, limit=limit or LIMIT), 0)
    yield outcome
    while outcome.verdict.status != "proved" and outcome.steps < most_steps:
        taken = min(ROUND, ATTEMPT - outcome.steps % ATTEMPT, most_steps - outcome.steps)
        if outcome.steps % ATTEMPT == 0:
            bits = max(BITS, recipe.bits)
            rate = recipe.learning_rate * RATES[outcome.steps // ATTEMPT % len(RATES)]
            learner = make_learner(params, replace(recipe, bits=bits, learning_rate=rate))
        inputs = outcome.verdict.counterexample
        if inputs is not None and len(inputs) < bits:
            found.append(_operands(inputs))
        pairs = _examples(rng, bits, taken * recipe.batch_size, found)
        stride = learner.stride * recipe.batch_size
        before, gave_way = learner.params(), False
        try:
            for first in range(0, len(pairs), stride):
                learner.descend(pairs[first : first + stride])
        except Diverged:
            gave_way = True  # the earlier weights still get a verdict, then a restart
        after = learner.params()
        verdict = explore(after, state_bits, limit=limit or LIMIT)
        outcome = Outcome(after, verdict, outcome.steps + taken)
        yield outcome
        if not gave_way and same(before, after):
            return  # the gradient has vanished for every example


def _until_proved_as_trained(
    recipe: Recipe, params: Params, most_steps: int, limit: int
) -> Iterator[Outcome]:
    """`until_proved` for the network itself, its state not rounded."""
    outcome = Outcome(params, prove_real(params, limit=limit), 0)
    yield outcome
    training = Contraction(params, addition, recipe.seed)
    wrong: list[Int64[np.ndarray, " inputs"]] = []
    while outcome.verdict.status != "proved" and training.steps < most_steps:
        if outcome.verdict.counterexample is not None:
            wrong.append(outcome.verdict.counterexample)
        try:
            training.train(min(CONTRACTING_ROUND, most_steps - training.steps), wrong)
        except Diverged:
            return
        after = Params(*(array.copy() for array in training.params))
        outcome = Outcome(after, prove_real(after, limit=limit), training.steps)
        yield outcome


def _operands(inputs: Int64[np.ndarray, " steps"]) -> tuple[int, int, int]:
    """The operands a, b of these inputs, and their number of steps."""
    a, b = from_bits(addition.bits(inputs))
    return a, b, len(inputs)


def _examples(
    rng: np.random.RandomState, bits: int, count: int, found: list[tuple[int, int, int]]
) -> Int64[np.ndarray, "count 2"]:
    """Random operands, one pair in ten with the low bits of some counterexample."""
    pairs = draw_pairs(rng, bits, count)
    if found:
        places = np.arange(0, count, ONE_IN)
        chosen = rng.randint(len(found), size=len(places))
        for place, which in zip(places, chosen, strict=True):
            a, b, length = found[which]
            pairs[place] = (pairs[place] >> length << length) | (a, b)
    return pairs
