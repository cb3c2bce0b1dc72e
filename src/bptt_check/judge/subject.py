"""The interface between the judge and a network: `Subject`, and the values they exchange."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from bptt_check.candidate.calling import Form
from bptt_check.candidate.escaping import shown

Array = np.ndarray
#: Gradients by the names of the arguments differentiated.
Gradients = Mapping[str, Array]


class CannotCheck(Exception):
    """The candidate gives no answer that can be judged; the message (escaped) says why.

    `kind`: the type's name of the exception that the candidate raises; "shape" if a gradient has a
    wrong one. `ended`: no further problem can be asked, as after a time limit.
    """

    def __init__(self, why: str, *, kind: str = "", ended: bool = False) -> None:
        super().__init__(shown(why))
        self.kind, self.ended = kind, ended


class Answer(NamedTuple):
    """A candidate's answer to one problem."""

    gradients: Gradients
    second: Gradients  # of a second call with the same inputs
    impure: tuple[str, ...] = ()
    narrow: bool = False  # whether a gradient's dtype is narrower than the inputs'
    loss: float | None = None  # the loss that the candidate returns, if any
    others: Mapping[str, Array] = {}  # arrays that are no gradient by name or place, by label
    unnamed: tuple[str, ...] = ()  # labels of results that are no numbers
    set_globals: tuple[str, ...] = ()  # inputs that it reads from globals, which the check sets
    placed: tuple[str, ...] = ()  # gradients told by their place alone, where a state may stand

    @property
    def is_finite(self) -> bool:
        """Whether no gradient has a NaN or an infinity."""
        return all(bool(np.isfinite(g).all()) for g in self.gradients.values())


@runtime_checkable
class Right(Protocol):
    """The right gradient, and a bound on the error of one correct evaluation of it."""

    @property
    def gradients(self) -> Gradients:
        """The right gradients, by argument name."""

    @property
    def bounds(self) -> Gradients:
        """A bound for each entry; two correct evaluations differ by at most twice as much."""


class Asked(NamedTuple):
    """A problem, a candidate's answer to it, and the right gradient with its bound."""

    problem: Any
    answer: Answer
    right: Any  # a Right


#: A backward pass that answers problems: `ask(problem, *earlier)` answers `problem` after those in
#: `earlier`, all in one process. Raises CannotCheck: there is no answer that can be judged.
Ask = Callable[..., Answer]


@runtime_checkable
class Mistake(Protocol):
    """A mistake of the catalogue."""

    @property
    def name(self) -> str:
        """The mistake in words."""

    @property
    def place(self) -> str:
        """The equation and the remedy, or the network's source line."""

    @property
    def changes(self) -> Sequence[tuple[str, str]]:
        """Pairs of a right source line and the wrong one, if known."""


class Explanation(NamedTuple):
    """Mistakes that together give the candidate's answers; `also`: equivalent descriptions."""

    mistakes: tuple[Any, ...]  # of Mistake
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The names of all its mistakes."""
        return " + ".join(m.name for m in self.mistakes)


@dataclass(frozen=True)
class Where:
    """The error of each part of a gradient / what rounding allows; a part above 1 is wrong.

    `cells[label][t, s]`: what the loss at step t+1 contributes at step s+1 to a gradient or one of
    its gates; `zero[label]`: whether the candidate has exactly zero there. `sums[label][t]`: what
    that loss contributes to a gradient whose steps cannot be separated. `words`: the meaning of
    the first wrong cell. `claim`: the same as fields.
    """

    cells: dict[str, Array]
    zero: dict[str, Array]
    sums: dict[str, Array]
    words: str = ""
    claim: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """The number of time steps."""
        return len(next(iter({**self.cells, **self.sums}.values())))

    @property
    def wrong(self) -> list[str]:
        """The labels with a wrong part."""
        return [n for n, used in {**self.cells, **self.sums}.items() if (used > 1).any()]


class Vote(NamedTuple):
    """Another method's verdict on autograd's gradient and on yours."""

    method: str
    autograd_is_right: bool
    yours_is_right: bool


@runtime_checkable
class Subject(Protocol):
    """A network as the judge needs it: problems, right gradients and possible mistakes."""

    form: Form
    window: int | None  # if given, BPTT truncated to this many steps is right

    def __hash__(self) -> int:
        """Of the object: a report is kept for a pass and a subject."""

    def problems(self, dtype: str, seed: int) -> Sequence[Any]:
        """The problems to ask, each with a `name`.

        Raises:
            CannotCheck: no problem can tell right from wrong.
        """

    def in_turn(self, dtype: str) -> Iterator[tuple[Any, ...]]:
        """Sequences of problems to ask in one process; the last problem of each is judged."""

    def inputs(self, problem: Any) -> Mapping[str, Array]:
        """The input arrays of a backward pass, by name, in order."""

    def sizes(self, problem: Any) -> Mapping[str, int]:
        """The size of each axis, by name."""

    def advice(self) -> str:
        """The remedy for a pass that takes other sizes than all problems, or an empty text."""

    def reference(self, problem: Any) -> Right:
        """The right gradient at a problem, with its bound."""

    def prepare(self, problem: Any) -> None:
        """Compute what `reference` will be asked for, while a candidate answers the problem."""

    def losses(self, asked: Sequence[Asked]) -> str:
        """A sentence about the losses that the candidate returns, or an empty text."""

    def names(self, asked: Sequence[Asked]) -> Sequence[Explanation] | None:
        """All explanations of the answers; empty if none fits, None if there is no catalogue."""

    def meanings(self, asked: Sequence[Asked]) -> Mapping[str, str]:
        """What an array of `Answer.others` is, in words, for those whose values show it."""

    def locate(self, ask: Ask, dtype: str, wrong: Sequence[Asked] = ()) -> Where:
        """Find the time steps at which the pass is wrong, which it is at the problems `wrong`.

        Raises:
            CannotCheck: the pass does not answer the problems needed for that.
        """

    def votes(self, wrong: Sequence[Asked]) -> Sequence[Vote]:
        """Verdicts of other methods at a problem with a wrong answer; empty if none applies."""

    def blind(self, asked: Sequence[Asked]) -> Sequence[str]:
        """The mistakes that none of these problems detects."""
