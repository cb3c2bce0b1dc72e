"""What the judge is told of a network, and what passes between the two; the judge knows none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from rnn_numpy.isolation.calling import Form
from rnn_numpy.isolation.strangers import shown

Array = np.ndarray
#: Arrays by the name of the argument that they are the gradient of.
Gradients = Mapping[str, Array]


class CannotCheck(Exception):
    """The candidate gave no answer that could be judged; the message says why, as `shown`."""

    def __init__(self, why: str) -> None:
        super().__init__(shown(why))


class NotFinite(CannotCheck):
    """It gave infinity or NaN where the gradient is finite."""


class Answer(NamedTuple):
    """What a candidate answered to one problem."""

    gradients: Gradients
    second: Gradients  # the same question again
    impure: tuple[str, ...] = ()
    narrow: bool = False  # answered in a narrower dtype than it was asked in
    loss: float | None = None  # its own


@runtime_checkable
class Right(Protocol):
    """What is right: a gradient, and how far one correct evaluation of it may be off."""

    @property
    def gradients(self) -> Gradients:
        """By name."""

    @property
    def bounds(self) -> Gradients:
        """For each entry; two correct evaluations differ by at most twice as much."""


class Asked(NamedTuple):
    """A problem, a candidate's answer to it, and what is right."""

    problem: Any
    answer: Answer
    right: Any  # a Right


#: A backward pass that can be asked problems: `ask(problem, *before)`, those `before` first, if
#: there are any, all in one process. Raises CannotCheck: no answer, or none that can be judged.
Ask = Callable[..., Answer]


@runtime_checkable
class Mistake(Protocol):
    """A mistake with a name."""

    @property
    def name(self) -> str:
        """In words."""

    @property
    def place(self) -> str:
        """Where it is: an equation and the remedy, or a line of the network."""

    @property
    def changes(self) -> Sequence[tuple[str, str]]:
        """Pairs of a right line and the wrong one, if they are known."""


class Explanation(NamedTuple):
    """Mistakes that together give the candidate's answers; `also`: the same, said otherwise."""

    mistakes: tuple[Any, ...]  # of Mistake
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """All of them."""
        return " + ".join(m.name for m in self.mistakes)


@dataclass(frozen=True)
class Where:
    """How far off each part of a gradient is: a fraction of what rounding allows; above 1, wrong.

    `cells[label][t, s]`: what the loss at step t+1 adds at step s+1 to a gradient or a gate of it;
    `zero[label]` says where the candidate has exactly zero. `sums[label][t]`: what that loss adds
    to a gradient whose steps cannot be told apart. `words` says what the first wrong cell means.
    """

    cells: dict[str, Array]
    zero: dict[str, Array]
    sums: dict[str, Array]
    words: str = ""

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return len(next(iter({**self.cells, **self.sums}.values())))

    @property
    def wrong(self) -> list[str]:
        """The labels of what is wrong anywhere."""
        return [n for n, used in {**self.cells, **self.sums}.items() if (used > 1).any()]


class Vote(NamedTuple):
    """What another method says of both gradients."""

    method: str
    autograd_is_right: bool
    yours_is_right: bool


@runtime_checkable
class Subject(Protocol):
    """A network as the judge asks of it: what to ask, what is right, what the mistake may be."""

    form: Form
    window: int | None  # truncated BPTT is right, if given
    equations: bool  # whether its mistakes are of docs/bptt.md

    def problems(self, dtype: str, seed: int) -> Sequence[Any]:
        """What a backward pass is asked, each with a `name`.

        Raises:
            CannotCheck: none of them could tell right from wrong.
        """

    def in_turn(self, dtype: str) -> Iterator[tuple[Any, ...]]:
        """Problems to ask one after the other in one process; the last of them is judged."""

    def inputs(self, problem: Any) -> Mapping[str, Array]:
        """The arrays that a backward pass is called with, by name, in order."""

    def sizes(self, problem: Any) -> Mapping[str, int]:
        """Of its axes."""

    def advice(self) -> str:
        """What to do about a pass that cannot take a problem's sizes, or nothing."""

    def reference(self, problem: Any) -> Right:
        """What is right at a problem."""

    def losses(self, asked: Sequence[Asked]) -> str:
        """A sentence about the candidate's own losses, if it returned any, or nothing."""

    def names(self, asked: Sequence[Asked]) -> Sequence[Explanation] | None:
        """Every explanation of the answers; none: no guess is made. None: there is no catalogue."""

    def locate(self, ask: Ask, dtype: str) -> Where:
        """Where in time it goes wrong.

        Raises:
            CannotCheck: it does not answer what must be asked for that.
        """

    def votes(self, wrong: Sequence[Asked]) -> Sequence[Vote]:
        """What other methods say at a problem where it is wrong; none: they cannot be asked."""

    def blind(self, asked: Sequence[Asked]) -> Sequence[str]:
        """Mistakes that none of these problems can tell from the truth."""
