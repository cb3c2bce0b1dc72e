"""The recipe: binary addition learned by plain SGD, one example a step, in a fixed order of draws.

A seed means `numpy.random.RandomState(seed)`: `randn` for U, W, V, then for each example `randint`
for a and again for b. So the same seed gives the same run in both packages, weight for weight. A
learner computes the gradients and updates the weights; each package has its own.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.elman_network.model import absolute_error
from rnn_numpy.elman_network.params import Params, initial_params
from rnn_numpy.tasks.addition import decode, draw_pairs, encode_pairs

Dtype = Literal["float32", "float64"]

#: The least and the most that a recipe's integers may be; None for no end.
RANGES: dict[str, tuple[int, int | None]] = {
    "seed": (0, 2**32 - 1),
    "bits": (1, 64),
    "hidden": (1, 1 << 14),
    "iterations": (0, None),
    "batch_size": (1, 1 << 20),
}

#: A gradient has vanished if it changes no weight in so many steps.
STEPS_WITHOUT_CHANGE = 1000


@dataclass(frozen=True)
class Recipe:
    """What a training run depends on; the defaults are the classic recipe.

    A step descends the gradient of (4), summed over `batch_size` examples.

    Raises:
        TypeError, ValueError: a setting out of range; the message names it.
    """

    seed: int = 0
    bits: int = 8
    hidden: int = 16
    iterations: int = 20_000
    learning_rate: float = 0.1
    dtype: Dtype = "float64"
    batch_size: int = 1

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            check_integer(name, getattr(self, name), least, most)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be finite and > 0, got {self.learning_rate}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype!r}")


@runtime_checkable
class Learner(Protocol):
    """A network in training: whatever turns examples into new weights."""

    @property
    def stride(self) -> int:
        """How many steps `descend` should be asked for at once: a few hundredths of a second."""

    def descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """Descend (4), a step for each batch; return the outputs for the last, before its step.

        Args:
            pairs: the operands, those of the first batch first.

        Raises:
            Diverged: the weights would not be finite; those before that step are kept.
        """

    def advance(
        self, h: Float[np.ndarray, "batch hidden"], x: Float[np.ndarray, "1 batch 2"]
    ) -> tuple[Float[np.ndarray, "1 batch 1"], Float[np.ndarray, "batch hidden"]]:
        """One time step of the network: its outputs, and the states that follow."""

    def params(self) -> Params:
        """The weights as they are now."""

    @property
    def audit(self) -> Callable[[Int64[np.ndarray, "batch 2"]], float | None] | None:
        """Compares two gradients of a batch; None where there is only one.

        It returns how far they differ, as a fraction of what rounding allows; None where the whole
        gradient is smaller than its rounding errors, so that none can tell.
        """


@runtime_checkable
class Engine(Protocol):
    """What computes the gradients. All engines end at the same weights, but for rounding."""

    @property
    def name(self) -> str:
        """As the flag --engine has it; of several processes, with their number."""

    def learner(self, params: Params, recipe: Recipe) -> Learner:
        """A network in training that begins with a copy of these weights.

        Raises:
            ValueError: the engine cannot run here.
        """


class Diverged(ArithmeticError):
    """A training step led to weights that are not finite; `steps` were taken before it."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"diverged after {steps} steps")
        self.steps = steps


class Record(NamedTuple):
    """One log line: the first example of this step, as the network saw it before learning from it.

    `loss` is (5), its mean over the batch; `said` is the sum that the network gave; `parity` is
    that of `Learner.audit`.
    """

    step: int
    loss: float
    a: int
    b: int
    said: int
    parity: float | None


class Stretch(NamedTuple):
    """Steps that were taken at once; the last of them has a log line, or none of them."""

    steps: int
    record: Record | None


@dataclass
class Run:
    """A training run: how far it came, and why it ended."""

    recipe: Recipe
    steps: int = 0
    #: `run` says `diverged`; who goes no further, or asks `vanished()`, says so here.
    status: Literal["finished", "interrupted", "diverged", "vanished"] = "finished"
    log: list[Record] = field(default_factory=list)


def start(recipe: Recipe) -> tuple[Params, np.random.RandomState]:
    """The recipe's initial weights, and the generator from which its examples come."""
    rng = np.random.RandomState(recipe.seed)
    return initial_params(rng, 2, recipe.hidden, 1, recipe.dtype), rng


def run(
    result: Run,
    learner: Learner,
    rng: np.random.RandomState,
    *,
    until: int | None = None,
    log_every: int | None = None,
    pause_every: int | None = None,
) -> Iterator[Stretch]:
    """Train `learner` by a recipe, on the examples drawn from `rng`, some steps at a time.

    Whoever is given a stretch may look at all three between two steps, save them, or go no further.

    Args:
        result: the run, from its beginning or as far as it came; kept up to date.
        learner, rng: as they are after the steps of `result`.
        until: the last step; None for the recipe's.
        log_every: every how many steps there is a log line; None for never.
        pause_every: a stretch ends at each multiple of this, too.
    """
    recipe = result.recipe
    last = recipe.iterations if until is None else until
    while result.steps < last:
        steps = min(learner.stride, last - result.steps)
        if pause_every is not None:
            steps = min(steps, pause_every - result.steps % pause_every)
        logged = log_every is not None and (result.steps + 1) % log_every == 0
        if logged:
            steps = 1  # a step that is logged is taken alone
        elif log_every is not None:
            steps = min(steps, log_every - 1 - result.steps % log_every)
        pairs = draw_pairs(rng, recipe.bits, steps * recipe.batch_size)
        parity = learner.audit(pairs) if logged and learner.audit is not None else None
        try:
            outputs = learner.descend(pairs)
        except Diverged as diverged:
            result.steps += diverged.steps
            result.status = "diverged"
            return
        result.steps += steps
        record = None
        if logged:
            a, b = (int(operand) for operand in pairs[0])
            said = decode(outputs)[0]
            y = encode_pairs(pairs, recipe.bits, recipe.dtype)[1].transpose(1, 0, 2)
            loss = absolute_error(outputs, y) / recipe.batch_size  # (5)
            record = Record(result.steps, loss, a, b, said, parity)
            result.log.append(record)
        yield Stretch(steps, record)


def vanished(recipe: Recipe, learner: Learner) -> bool:
    """Whether no weight changes in 1,000 more steps: each gradient is 0, or too small to count.

    Takes these steps, on examples of their own. A network that can still learn is known by the
    first of them.
    """
    before, rng = learner.params(), np.random.RandomState(0)
    steps, taken = 1, 0
    while taken < STEPS_WITHOUT_CHANGE:
        try:
            learner.descend(draw_pairs(rng, recipe.bits, steps * recipe.batch_size))
        except Diverged:
            return False
        if not same(before, learner.params()):
            return False
        taken += steps
        steps = min(learner.stride, STEPS_WITHOUT_CHANGE - taken)
    return True


def same(one: Params, other: Params) -> bool:
    """Whether all weights are equal."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
