"""Train past the recipe, on the sums that refute the network, until it is proved to add.

A proof that fails gives a shortest counterexample. Rounds of SGD follow in which one example in ten
begins with one of those found so far, and then the next proof is tried (counterexample-guided
synthesis: Solar-Lezama et al., ASPLOS 2006). The few that stay stuck restart from the
recipe's weights, at three times the learning rate. docs/proof.md has how many seeds it proves, and
what else was tried.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.explore import LIMIT, explore
from rnn_numpy.proof.machine import Verdict
from rnn_numpy.tasks.addition import draw_pairs, from_bits
from rnn_numpy.tasks.targets import addition
from rnn_numpy.training.recipe import Diverged, Learner, Recipe, same

#: Bits of the sums in these rounds, unless the recipe has more.
BITS = 32
#: SGD steps between two proofs, and until the weights are those of the recipe again.
ROUND, ATTEMPT = 1_000, 20_000
#: One example in this many begins with a counterexample.
ONE_IN = 10
#: The learning rates of the attempts in turn, as multiples of the recipe's.
RATES = (1, 3)


class Outcome(NamedTuple):
    """The last network and what is proved about it; `steps` were taken past the recipe."""

    params: Params
    verdict: Verdict
    steps: int


def until_proved(
    recipe: Recipe,
    params: Params,
    rng: np.random.RandomState,
    state_bits: int,
    make_learner: Callable[[Params, Recipe], Learner],
    *,
    most_steps: int,
    limit: int = LIMIT,
    on_verdict: Callable[[int, Verdict, Params], object] = lambda steps, verdict, params: None,
    on_steps: Callable[[int], object] = lambda steps: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Go on from the recipe's weights until they are proved to add with a b-bit state.

    Args:
        recipe, params, rng: a finished run of the recipe, and its generator.
        state_bits, limit: as for `explore`.
        make_learner: makes a network in training from a copy of weights.
        most_steps: give up after this many.
        on_verdict: called with the steps taken before each verdict, it, and the weights.
        on_steps: called with the number of steps taken since the last call.
        stop: asked before each round; True ends it.
    """
    found: list[tuple[int, int, int]] = []
    steps = 0
    now, verdict = params, explore(params, state_bits, limit=limit)
    on_verdict(steps, verdict, now)
    while verdict.status != "proved" and steps < most_steps and not stop():
        taken = min(ROUND, most_steps - steps)
        if steps % ATTEMPT == 0:
            bits = max(BITS, recipe.bits)
            rate = recipe.learning_rate * RATES[steps // ATTEMPT % len(RATES)]
            learner = make_learner(params, replace(recipe, bits=bits, learning_rate=rate))
        if verdict.counterexample is not None and len(verdict.counterexample) < bits:
            found.append(_operands(verdict.counterexample))
        pairs = _examples(rng, bits, taken * recipe.batch_size, found)
        stride = learner.stride * recipe.batch_size
        before, gave_way = learner.params(), False
        try:
            for first in range(0, len(pairs), stride):
                learner.descend(pairs[first : first + stride])
        except Diverged:
            gave_way = True  # what it had is proved or refuted all the same, and then tried again
        steps += taken
        on_steps(taken)
        now = learner.params()
        verdict = explore(now, state_bits, limit=limit)
        on_verdict(steps, verdict, now)
        if not gave_way and same(before, now):
            break  # the gradient has vanished: no example brings it back
    return Outcome(now, verdict, steps)


def _operands(inputs: Int64[np.ndarray, " steps"]) -> tuple[int, int, int]:
    """The operands a, b that these inputs spell, and how many steps they take."""
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
