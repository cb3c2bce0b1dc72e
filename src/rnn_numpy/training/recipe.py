"""The recipe: learn binary addition by plain SGD, one example a step, in a fixed order of draws.

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

#: The smallest and the largest value of a recipe's integers; None for no maximum.
RANGES: dict[str, tuple[int, int | None]] = {
    "seed": (0, 2**32 - 1),
    "bits": (1, 64),
    "hidden": (1, 1 << 14),
    "iterations": (0, None),
    "batch_size": (1, 1 << 20),
}

#: A gradient has vanished if it changes no weight in this many steps.
STEPS_WITHOUT_CHANGE = 1000


@dataclass(frozen=True)
class Recipe:
    """The settings that determine a training run; the defaults are the classic recipe.

    A step descends the gradient of (4), summed over `batch_size` examples.

    Raises:
        TypeError, ValueError: a setting is out of range; the message names it.
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
    """A network in training, which updates its weights from examples."""

    @property
    def stride(self) -> int:
        """The number of steps for one call of `descend`: a few hundredths of a second."""

    def descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """Take an SGD step on (4) for each batch; return the outputs for the last batch, before it.

        Args:
            pairs: the operands, in the order of the batches.

        Raises:
            Diverged: a step would make the weights infinite or NaN; it is not taken.
        """

    def advance(
        self, h: Float[np.ndarray, "batch hidden"], x: Float[np.ndarray, "1 batch 2"]
    ) -> tuple[Float[np.ndarray, "1 batch 1"], Float[np.ndarray, "batch hidden"]]:
        """One time step of the network: the outputs and the next states."""

    def params(self) -> Params:
        """The current weights."""

    @property
    def audit(self) -> Callable[[Int64[np.ndarray, "batch 2"]], float | None] | None:
        """A function that compares two gradients of a batch; None if there is only one gradient.

        It returns their difference as a fraction of what rounding allows; None if every entry is
        smaller than its rounding error, so that nothing can be decided.
        """


@runtime_checkable
class Engine(Protocol):
    """An implementation of the gradients. All engines give equal weights, to within rounding."""

    @property
    def name(self) -> str:
        """The name for the flag --engine; for several processes, with their number."""

    def learner(self, params: Params, recipe: Recipe) -> Learner:
        """A network in training that starts from a copy of these weights.

        Raises:
            ValueError: the engine cannot run here.
        """


class Diverged(ArithmeticError):
    """A training step gives weights that are not finite; `steps` were taken before it."""

    def __init__(self, steps: int) -> None:
        super().__init__(f"diverged after {steps} steps")
        self.steps = steps


class Record(NamedTuple):
    """One log line: the first example of a step, with the weights before the step.

    `loss` is (5), its mean over the batch; `said` is the predicted sum; `parity` is the result of
    `Learner.audit`.
    """

    step: int
    loss: float
    a: int
    b: int
    said: int
    parity: float | None


class Stretch(NamedTuple):
    """Steps taken in one call; the last one may have a log line."""

    steps: int
    record: Record | None


@dataclass
class Run:
    """A training run: the steps taken, the log, and why it ended."""

    recipe: Recipe
    steps: int = 0
    #: `run` sets `diverged`; a caller that stops, or that calls `vanished()`, sets the others.
    status: Literal["finished", "interrupted", "diverged", "vanished"] = "finished"
    log: list[Record] = field(default_factory=list)


def start(recipe: Recipe) -> tuple[Params, np.random.RandomState]:
    """The recipe's initial weights, and the generator of its examples."""
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
    """Train `learner` by a recipe, on examples drawn from `rng`; yields after some steps each.

    After each yield the caller may inspect or save `result`, `learner` and `rng`, or stop.

    Args:
        result: the run, new or resumed; it is updated.
        learner, rng: their states after the steps of `result`.
        until: the last step; None for the recipe's.
        log_every: steps between two log lines; None for never.
        pause_every: steps between further yields.
    """
    recipe = result.recipe
    last = recipe.iterations if until is None else until
    while result.steps < last:
        steps = min(learner.stride, last - result.steps)
        if pause_every is not None:
            steps = min(steps, pause_every - result.steps % pause_every)
        logged = log_every is not None and (result.steps + 1) % log_every == 0
        if logged:
            steps = 1  # a logged step is taken separately
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
    """Whether no weight changes in 1,000 more steps: each gradient is 0 or too small.

    Takes these steps, on separate examples. A network that can learn changes in the first steps.
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
