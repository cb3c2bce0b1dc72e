"""What the judge asks and is answered: answers, what is right, where and which mistake."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bptt_check.candidate.escaping import shown
from bptt_check.error_bound import Reference
from bptt_check.tracing.locate import first_wrong, from_loss

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
    forward: Mapping[str, Array] = {}  # arrays that its forward pass hands over, by name
    outputs: Mapping[str, Array] = {}  # of a layer, by the names of their upstream gradients

    def only(self, names: Collection[str]) -> "Answer":
        """Without other gradients than these."""
        first, second = ({n: a[n] for n in a if n in names} for a in (self.gradients, self.second))
        return self._replace(gradients=first, second=second)

    @property
    def is_finite(self) -> bool:
        """Whether no gradient has a NaN or an infinity."""
        return all(bool(np.isfinite(g).all()) for g in self.gradients.values())

    @property
    def compared(self) -> Gradients:
        """All that is compared with what is right: the outputs of a layer, and the gradients."""
        return {**self.outputs, **self.gradients}


class Expected(NamedTuple):
    """An answer that another answer must equal, to within rounding: an entry may differ by 2 x."""

    gradients: Gradients
    bounds: Gradients  # of the error of one correct evaluation


#: The right gradient, and a bound on the error of one correct evaluation of each entry.
Right = Expected | Reference


class Asked(NamedTuple):
    """A problem, a candidate's answer to it, and the right gradient with its bound."""

    problem: Any
    answer: Answer
    right: Any  # a Right


#: A backward pass that answers problems: `ask(problem, *earlier)` answers `problem` after those in
#: `earlier`, all in one process. Raises CannotCheck: there is no answer that can be judged.
Ask = Callable[..., Answer]


class Mistake(NamedTuple):
    """A mistake derived from the network: its description, the network's source line, as data."""

    name: str
    place: str
    changes: tuple[Any, ...] = ()


class Explanation(NamedTuple):
    """Mistakes that together give the candidate's answers, or some gradients and gates of them.

    `also`: equivalent descriptions of one mistake. `explains`: the wrong gradients and gates that
    they give; `left`: those that nothing gives. `one_step`: only at problems of one step.
    """

    mistakes: tuple[Mistake, ...]
    also: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    one_step: bool = False

    @property
    def name(self) -> str:
        """The names of all its mistakes."""
        return " + ".join(m.name for m in self.mistakes)


@dataclass(frozen=True)
class Where:
    """The error of each part of a gradient / what rounding allows; a part above 1 is wrong.

    NaN: rounding may exceed the part. `cells[label][t, s]`: what the loss at step t+1 contributes
    at step s+1 to a gradient or one of its gates; `zero[label]`: whether the candidate has exactly
    zero there. `sums[label][t]`: what that loss contributes to a gradient whose steps cannot be
    separated. `words`: the meaning of the first wrong cell. `claim`: the same as fields.
    `finals[name][label]`: what the upstream gradient of a layer's final state contributes at each
    step.
    """

    cells: dict[str, Array]
    zero: dict[str, Array]
    sums: dict[str, Array]
    words: str = ""
    claim: Mapping[str, Any] = field(default_factory=dict)
    finals: Mapping[str, dict[str, Array]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """The number of time steps."""
        return len(next(iter({**self.cells, **self.sums}.values())))

    @property
    def wrong(self) -> list[str]:
        """The labels with a wrong part."""
        parts = [*self.cells.items(), *self.sums.items()]
        parts += [each for rows in self.finals.values() for each in rows.items()]
        return list(dict.fromkeys(n for n, used in parts if (used > 1).any()))

    def since(self, label: str) -> str:
        """From which loss on a gradient or gate is wrong; empty if no loss alone shows it."""
        shares = {**self.sums, **self.cells}
        used = [s for n, s in shares.items() if n == label or n.startswith(f"{label}, gate")]
        first, on = first_wrong(used)
        return from_loss(first, on) if first else ""


class Vote(NamedTuple):
    """Another method's verdict on autograd's gradient and on yours."""

    method: str
    autograd_is_right: bool
    yours_is_right: bool
