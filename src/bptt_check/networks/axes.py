"""The declaration of a network's argument: its named axes, and the values drawn for it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Role = Literal["float", "inputs", "tokens", "targets", "upstream"]


class Axis(NamedTuple):
    """One axis: a sum of names and numbers, optionally with factors, such as `4*hidden+1`."""

    text: str
    terms: tuple[tuple[int, str], ...]  # (4, "hidden"), (1, "")

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """Read an axis from its text.

        Raises:
            ValueError: the text has other parts than names, positive integers, `*` and `+`.
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
        """The size of the axis, given the sizes of the names."""
        return sum(factor * (sizes[name] if name else 1) for factor, name in self.terms)

    @property
    def names(self) -> list[str]:
        """The names that occur in the axis."""
        return [name for _, name in self.terms if name]

    @property
    def parts(self) -> int:
        """The number of equal blocks: 4 for `4*hidden`; 1 for a sum of several terms."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] else 1


@dataclass(frozen=True)
class Argument:
    """An argument of a network: its axes, and the values drawn for it.

    `role`: "float" is differentiated; without a gradient are "inputs", numbers given at each step,
    "tokens", integers from 0 to `below` - 1, "targets" and "upstream", numbers that the loss uses.
    `between`: the lowest and the highest number; if left out, numbers are normally distributed.
    `of_normal`: what is made of normally distributed numbers, such as the logarithm of a gate.
    `is_complex`: the last axis, of 2, holds the real and the imaginary parts.
    """

    axes: tuple[Axis, ...]
    role: Role = "float"
    below: Axis | None = None
    between: tuple[int | float, int | float] | None = None
    of_normal: Callable[[np.ndarray], np.ndarray] | None = None
    is_complex: bool = False

    @property
    def has_domain(self) -> bool:
        """Whether it holds numbers of a declared kind alone."""
        return bool(self.between or self.of_normal)

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], sizes: Mapping[str, int]
    ) -> np.ndarray:
        """Numbers or tokens of its kind."""
        if self.below:
            return rng.integers(0, self.below.size(sizes), shape)
        if self.between:
            return rng.uniform(*self.between, shape)
        normal = np.asarray(rng.standard_normal(shape))
        return self.of_normal(normal) if self.of_normal else normal

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of the argument, given the sizes of the axis names."""
        return tuple(axis.size(sizes) for axis in self.axes)

    @property
    def time_axis(self) -> int | None:
        """The position of the time axis; None if there is none."""
        return next((i for i, axis in enumerate(self.axes) if "time" in axis.names), None)

    @property
    def features(self) -> list[int]:
        """The positions of the axes that are neither time nor batch."""
        return [i for i, axis in enumerate(self.axes) if not {"time", "batch"} & set(axis.names)]

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers that no loss compares: a weight, a state, an input."""
        return self.role in ("float", "inputs")

    @property
    def names(self) -> list[str]:
        """The axis names that occur, with repetitions."""
        axes = [*self.axes, *([self.below] if self.below else [])]
        return [name for axis in axes for name in axis.names]


def _axes(text: str) -> tuple[Axis, ...]:
    return tuple(map(Axis.parse, text.split()))


def floats(
    axes: str,
    between: tuple[int | float, int | float] | None = None,
    of_normal: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Argument:
    """Floating-point numbers to differentiate with respect to; of any kind, axes suffice.

    Args:
        axes: the axes, such as `"time batch n_in"`.
        between: the lowest and the highest number.
        of_normal: makes the numbers of normally distributed ones.
    """
    return Argument(_axes(axes), between=between, of_normal=of_normal)


def inputs(axes: str, between: tuple[int | float, int | float] | None = None) -> Argument:
    """Numbers given at each step; they are not differentiated."""
    return Argument(_axes(axes), "inputs", between=between)


def tokens(axes: str, below: str | int) -> Argument:
    """Integers from 0 to `below` - 1, as inputs or targets; `below` is a size or an axis name."""
    return Argument(_axes(axes), "tokens", Axis.parse(str(below)))


def targets(axes: str, between: tuple[int | float, int | float] | None = None) -> Argument:
    """Numbers that the loss compares outputs with; they are not differentiated."""
    return Argument(_axes(axes), "targets", between=between)


def upstream(axes: str) -> Argument:
    """Upstream gradients: the loss is the sum of their products with the outputs or states."""
    return Argument(_axes(axes), "upstream")
