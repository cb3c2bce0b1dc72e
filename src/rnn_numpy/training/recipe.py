"""The recipe: learn binary addition by plain SGD, one example a step, in a fixed order of draws.

A seed means `numpy.random.RandomState(seed)`: `randn` for U, W, V, then for each example `randint`
for a and again for b. So the same seed gives the same run in both packages, weight for weight. A
learner computes the gradients and updates the weights; each package has its own.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

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


class Learner(ABC):
    """A network in training, which updates its weights from examples."""

    #: The number of steps for one call of `descend`: a few hundredths of a second.
    stride: int
    #: Whether `audit` compares two gradients.
    audited = False

    @abstractmethod
    def descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """Take an SGD step on (4) for each batch; return the outputs for the last batch, before it.

        Args:
            pairs: the operands, in the order of the batches.

        Raises:
            Diverged: a step would make the weights infinite or NaN; it is not taken.
        """

    @abstractmethod
    def params(self) -> Params:
        """A copy of the current weights."""

    def audit(self, pairs: Int64[np.ndarray, "batch 2"]) -> float | None:
        """The difference of two gradients of a batch, as a fraction of what rounding allows.

        None if there is only one gradient, or if every entry is smaller than its rounding error.
        """
        return None


class Engine(NamedTuple):
    """An implementation of the gradients. All engines give equal weights, to within rounding.

    `learner` makes a network in training that starts from a copy of these weights; it raises
    ValueError if the engine cannot run here.
    """

    name: str
    learner: Callable[[Params, Recipe], Learner]


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


Status = Literal["finished", "interrupted", "diverged", "vanished"]


def start(recipe: Recipe) -> tuple[Params, np.random.RandomState]:
    """The recipe's initial weights, and the generator of its examples."""
    rng = np.random.RandomState(recipe.seed)
    return initial_params(rng, 2, recipe.hidden, 1, recipe.dtype), rng


class Training:
    """A network in training by a recipe: everything that a step changes.

    `run` sets the status `diverged`; a caller that stops, or that calls `vanished()`, the others.

    Raises:
        ValueError: the engine cannot run here.
    """

    def __init__(self, recipe: Recipe, engine: Engine) -> None:
        self.recipe, self.engine = recipe, engine
        params, self.rng = start(recipe)
        self.learner = engine.learner(params, recipe)
        self.steps = 0
        self.log: list[Record] = []
        self.status: Status = "finished"

    def continue_from(self, params: Params, steps: int, log: list[Record]) -> None:
        """Go on after so many steps of this training, which gave these weights and log lines."""
        examples = steps * self.recipe.batch_size
        for first in range(0, examples, 1 << 20):  # those that were taken
            draw_pairs(self.rng, self.recipe.bits, min(1 << 20, examples - first))
        self.learner = self.engine.learner(params, self.recipe)
        self.steps, self.log = steps, log

    def run(
        self, log_every: int | None = None, *, pause_every: int | None = None
    ) -> Iterator[Record | None]:
        """Take the remaining steps; yields after some steps each, with the log line if it has one.

        After each yield the caller may inspect or save this object, or stop. It also yields after
        each multiple of `pause_every` steps.
        """
        while self.steps < self.recipe.iterations:
            logged = log_every is not None and (self.steps + 1) % log_every == 0
            steps = 1 if logged else self._stride(log_every, pause_every)
            pairs = draw_pairs(self.rng, self.recipe.bits, steps * self.recipe.batch_size)
            parity = self.learner.audit(pairs) if logged else None
            try:
                outputs = self.learner.descend(pairs)
            except Diverged as diverged:
                self.steps += diverged.steps
                self.status = "diverged"
                return
            self.steps += steps
            if logged:
                self.log.append(self._record(pairs, outputs, parity))
            yield self.log[-1] if logged else None

    def _stride(self, log_every: int | None, pause_every: int | None) -> int:
        """The number of steps until the next yield, before a step that is logged."""
        steps = min(self.learner.stride, self.recipe.iterations - self.steps)
        if pause_every is not None:
            steps = min(steps, pause_every - self.steps % pause_every)
        if log_every is not None:
            steps = min(steps, log_every - 1 - self.steps % log_every)
        return steps

    def _record(self, pairs: Any, outputs: Any, parity: float | None) -> Record:
        """The log line of the step with these operands."""
        a, b = pairs[0].tolist()
        y = encode_pairs(pairs, self.recipe.bits, self.recipe.dtype)[1]
        loss = absolute_error(outputs, y) / self.recipe.batch_size  # (5)
        return Record(self.steps, loss, a, b, decode(outputs)[0], parity)


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
        if not all(map(np.array_equal, before, learner.params())):
            return False
        taken += steps
        steps = min(learner.stride, STEPS_WITHOUT_CHANGE - taken)
    return True
