"""What an argument of a network is: its axes, by name, and what may be drawn for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["float", "tokens", "targets", "upstream"]


class Axis(NamedTuple):
    """One axis: a sum of names and numbers, each perhaps with a factor: `4*hidden+1`."""

    text: str
    terms: tuple[tuple[int, str], ...]  # (4, "hidden"), (1, "")

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """From its text.

        Raises:
            ValueError: anything but names, positive integers, `*` and `+`.
        """
        terms = []
        for part in text.split("+"):
            found = re.fullmatch(r"(?:([1-9]\d*)(?:\*(?=[A-Za-z_]))?)?([A-Za-z_]\w*)?", part)
            if found is None or not part:
                raise ValueError(
                    f"an axis must be a name, a number, or a sum of them such as 4*hidden+1, "
                    f"without blanks inside, got {text!r}"
                )
            terms.append((int(found[1] or 1), found[2] or ""))
        return cls(text, tuple(terms))

    def size(self, sizes: Mapping[str, int]) -> int:
        """Its size, where the names have these."""
        return sum(factor * (sizes[name] if name else 1) for factor, name in self.terms)

    @property
    def names(self) -> list[str]:
        """The names in it."""
        return [name for _, name in self.terms if name]

    @property
    def parts(self) -> int:
        """How many equal blocks it holds: 4 of `4*hidden`; 1 where it is no plain multiple."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] else 1


@dataclass(frozen=True)
class Argument:
    """An argument of a network: axes, and what is drawn for it.

    `role`: "float" is differentiated; "tokens" are integers from 0 to `below` - 1; "targets" and
    "upstream" are numbers that the loss is told, no gradient is asked of. `between`: lowest and
    highest number; normally distributed if left out.
    """

    axes: tuple[Axis, ...]
    role: Role = "float"
    below: Axis | None = None
    between: tuple[int | float, int | float] | None = None

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape, where the axes have these sizes."""
        return tuple(axis.size(sizes) for axis in self.axes)

    @property
    def time_axis(self) -> int | None:
        """Which of its axes is the time, if one is."""
        return next((i for i, axis in enumerate(self.axes) if "time" in axis.names), None)

    @property
    def names(self) -> list[str]:
        """The axis names it needs, as often as they occur."""
        every = [*self.axes, *([self.below] if self.below else [])]
        return [name for axis in every for name in axis.names]


def _axes(text: str) -> tuple[Axis, ...]:
    return tuple(map(Axis.parse, text.split()))


def floats(axes: str, between: tuple[int | float, int | float] | None = None) -> Argument:
    """Floating-point numbers that a gradient is asked of: the same as its axes alone."""
    return Argument(_axes(axes), between=between)


def tokens(axes: str, below: str | int) -> Argument:
    """Integers from 0 to `below` - 1: a size, or the name of an axis. Inputs or targets."""
    return Argument(_axes(axes), "tokens", Axis.parse(str(below)))


def targets(axes: str, between: tuple[int | float, int | float] | None = None) -> Argument:
    """Numbers that the loss compares with: no gradient is asked of them."""
    return Argument(_axes(axes), "targets", between=between)


def upstream(axes: str) -> Argument:
    """Gradients that come from above: the loss is the sum of their products with what they meet."""
    return Argument(_axes(axes), "upstream")
