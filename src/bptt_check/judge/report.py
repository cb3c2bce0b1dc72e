"""The result of examining a backward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from bptt_check.candidate.escaping import shown
from bptt_check.commands.numbers import finite
from bptt_check.judge.asking import Explanation, Vote, Where
from bptt_check.judge.comparison import Close, Entry, Lost
from bptt_check.mending.lines import Leads, Mend
from bptt_check.networks.network import is_half

#: The version of the JSON document: it grows when a key goes, or changes its meaning.
SCHEMA = 1

#: "cannot tell": every answer that can be judged is right, and something else is not known. "loses
#: digits": of a layer, right but for more rounding than the recurrence has.
Verdict = Literal["agrees", "loses digits", "disagrees", "approximate", "impure", "cannot tell"]


class Unanswered(NamedTuple):
    """A problem that the candidate does not answer, and why; `kind` as in `CannotCheck`."""

    problem: str
    sizes: Mapping[str, int]
    why: str
    kind: str = ""


class Condition(NamedTuple):
    """The size of an axis at which it answers no problem, and a size at which it does."""

    axis: str
    size: int
    answered: int


def unanswered_at(unanswered: Sequence[Unanswered], conditions: Sequence[Condition]) -> str:
    """Where there is no answer: at which sizes if at most three explain it, else which problems."""
    if 0 < len(conditions) <= 3:
        return ", ".join(f"{each.axis} {each.size}" for each in conditions)
    names, left = [repr(each.problem) for each in unanswered[:4]], len(unanswered) - 4
    return ", ".join(names) + f" and {left} more" * (left > 0)


@dataclass(frozen=True)
class Report:
    """The result of examining a backward pass."""

    verdict: Verdict
    dtype: str
    window: int | None
    problems: int  # asked
    telling: int  # of these, answered, and able to tell a wrong gradient from a right one
    used: float  # the largest error of an entry / what rounding allows
    name: str = "backward"
    worst: tuple[Entry, ...] = ()  # one for each gradient returned
    #: For each problem answered and gradient, the largest error / what rounding allows.
    by_problem: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # the gradients not returned
    also: tuple[str, ...] = ()  # what is returned besides, with its meaning
    unidentified: tuple[str, ...] = ()  # what is returned besides, without a meaning
    lost: tuple[Lost, ...] = ()  # the digits that a layer loses
    undecided: tuple[str, ...] = ()  # the reasons of the verdict "cannot tell"
    set_globals: tuple[str, ...] = ()  # inputs that it reads from its file's globals
    unanswered: tuple[Unanswered, ...] = ()  # the problems without an answer
    conditions: tuple[Condition, ...] = ()  # each of these has one; empty if that is not all
    untold: tuple[tuple[str, str], ...] = ()  # the problems that cannot tell, and why
    not_finite: tuple[str, ...] = ()  # the problems at which only its answer has NaN or infinity
    training: tuple[str, ...] = ()  # what is wrong in its training loop but for the gradient
    failed: tuple[str, ...] = ()  # the steps after the verdict that failed
    loss: str = ""  # a sentence about the candidate's loss, if it returns one
    loss_is_right: bool | None = None  # whether that loss is; None if it returns none
    forward: str = ""  # a sentence about the states of its forward pass, if it hands them over
    approximate: str = ""  # how torch's own operations are off by more than rounding
    measured: str = ""  # why the bound is measured instead of derived; empty if derived
    factors: tuple[str, ...] = ()
    close: Close | None = None  # of the verdict "approximate": how close
    only_at: tuple[str, ...] = ()  # the problems with wrong answers, if at most three
    where: Where | None = None
    mistakes: tuple[Explanation, ...] | None = ()  # None: not determined, for this reason:
    not_named: str = ""
    mend: Mend | None = None  # the lines to change
    leads: Leads | None = None  # the lines that lead to what is wrong
    votes: tuple[Vote, ...] = ()
    impure: tuple[str, ...] = ()
    not_located: str = ""  # why a wrong pass has no `where`
    cites_equations: bool = False  # whether its mistakes' places cite those of docs/bptt.md
    blind: tuple[str, ...] = ()  # mistakes that cannot be detected at the given sizes

    @property
    def right(self) -> bool:
        """Whether the verdict is "agrees" or "loses digits"."""
        return self.verdict in ("agrees", "loses digits")

    @property
    def is_half(self) -> bool:
        """Whether the problems are in half precision."""
        return is_half(self.dtype)

    @property
    def exit_code(self) -> int:
        """0 right, 1 wrong, 2 cannot tell."""
        code = 1 if self.training or not self.right else 0
        return 2 if self.verdict == "cannot tell" else code

    @property
    def returned(self) -> tuple[str, ...]:
        """The gradients returned."""
        return tuple(entry.name for entry in self.worst)

    def as_dict(self) -> dict[str, Any]:
        """Every field as a JSON value, and what is returned; docs/report.md describes them."""
        own = {each.name: as_json(getattr(self, each.name)) for each in fields(self)}
        own["name"] = shown(self.name)
        return {"schema": SCHEMA, "returned": list(self.returned), **own}


def as_json(value: Any) -> Any:
    """The same in JSON's types; NaN and infinity as `finite` writes them."""
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, (tuple, list)) else value
