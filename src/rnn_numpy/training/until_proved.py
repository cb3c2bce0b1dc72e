"""Continue training after the recipe until the network is proved to add operands of every length.

In each round the training makes the network's steps contract (`contraction.py`), and some sequences
begin with inputs that the network got wrong; then the proof is tried again. docs/training.md has
the results, and other methods tried.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from rnn_numpy.elman_network.params import Params
from rnn_numpy.real_proof.verdict import Proved, RealVerdict, Refuted, prove_real
from rnn_numpy.tasks.targets import addition
from rnn_numpy.training.contraction import Contraction
from rnn_numpy.training.recipe import Diverged

#: Adam steps of `contraction.py` between two proofs.
ROUND = 600
#: Sets at most in these proofs, unless told otherwise: training on is quicker than a larger proof.
FEW_SETS = 10_000


class Outcome(NamedTuple):
    """A network and the verdict of its proof, `steps` after the end of the recipe."""

    params: Params
    verdict: RealVerdict
    steps: int

    @property
    def is_proved(self) -> bool:
        """Whether the network is proved to add."""
        return isinstance(self.verdict, Proved)


def until_proved(
    params: Params, seed: int, *, most_steps: int, limit: int = FEW_SETS
) -> Iterator[Outcome]:
    """Train on from the weights of a finished run of this seed until they are proved to add.

    Yields the outcome for these weights, and for the weights after each round of steps, of which
    the last one is the result; the caller may stop after any. `limit` is that of `prove_real`.
    """
    outcome = Outcome(params, prove_real(params, limit=limit), 0)
    yield outcome
    training = Contraction(params, addition, seed)
    wrong: list[Int64[np.ndarray, " inputs"]] = []
    while not outcome.is_proved and training.steps < most_steps:
        if isinstance(outcome.verdict, Refuted):
            wrong.append(outcome.verdict.inputs)
        try:
            training.train(min(ROUND, most_steps - training.steps), wrong)
        except Diverged:
            return
        after = Params(*(array.copy() for array in training.params))
        outcome = Outcome(after, prove_real(after, limit=limit), training.steps)
        yield outcome
