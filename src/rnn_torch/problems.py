"""Problems to differentiate: what a backward pass is asked, chosen so that no mistake can hide.

A problem with a single step never sees a dropped recurrent term, a symmetric W never sees a missing
transpose, a batch of one never sees a mean; so the designed set has every size independent of the
others, and each special case once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.params import Params


class Sizes(NamedTuple):
    """The five dimensions of a problem."""

    time: int
    batch: int
    n_in: int
    hidden: int
    n_out: int


#: The recipe's sizes, with which most hand-written passes come.
RECIPE = Sizes(time=8, batch=1, n_in=2, hidden=16, n_out=1)


class Problem(NamedTuple):
    """A squared error (4) to differentiate at these weights, from h_0 = 0."""

    params: Params
    x: Float[np.ndarray, "time batch n_in"]
    targets: Float[np.ndarray, "time batch n_out"]
    name: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all its arrays."""
        return self.x.dtype

    @property
    def sizes(self) -> Sizes:
        """Its five dimensions."""
        time, batch, n_in = self.x.shape
        hidden, n_out = self.params.V.shape
        return Sizes(time, batch, n_in, hidden, n_out)


@dataclass(frozen=True)
class Shapes:
    """Which sizes a candidate is asked: any at all, or one only, perhaps without a batch axis."""

    only: Sizes | None = None
    batch_axis: bool = True

    @classmethod
    def parse(cls, text: str) -> "Shapes":
        """From `any`, `recipe` or `T,B,I,H,O`.

        Raises:
            ValueError: anything else; the message says what is wanted.
        """
        if text == "any":
            return cls()
        if text == "recipe":
            return cls(RECIPE, batch_axis=False)
        try:
            sizes = Sizes._make(int(size) for size in text.split(","))
        except (ValueError, TypeError):
            sizes = Sizes(0, 0, 0, 0, 0)
        if min(sizes) < 1 or max(sizes) > 512:
            raise ValueError(
                "shapes must be any, recipe, or time,batch,n_in,hidden,n_out, each from 1 to 512 "
                f"(for example 8,1,2,16,1), got {text!r}"
            )
        return cls(sizes)


def problem(
    seed: int,
    sizes: Sizes,
    *,
    scale: float = 1.0,
    x_scale: float = 1.0,
    target_scale: float = 1.0,
    dtype: str = "float64",
    name: str = "",
) -> Problem:
    """Normally distributed weights (times `scale`), inputs and targets (times theirs)."""
    rng = np.random.default_rng(seed)
    time, batch, n_in, hidden, n_out = sizes

    def normal(size: float, *shape: int) -> Any:
        return (size * rng.standard_normal(shape)).astype(dtype)

    params = Params(
        normal(scale, n_in, hidden), normal(scale, hidden, hidden), normal(scale, hidden, n_out)
    )
    x, targets = normal(x_scale, time, batch, n_in), normal(target_scale, time, batch, n_out)
    return Problem(params, x, targets, name)


def designed(shapes: Shapes, dtype: str) -> list[Problem]:
    """The designed set: together they make every mistake of the catalogue visible."""
    only = shapes.only

    def made(
        name: str, time: int, batch: int, n_in: int, hidden: int, n_out: int, **scales: float
    ) -> Problem:
        sizes = only or Sizes(time, batch, n_in, hidden, n_out)
        return problem(len(problems), sizes, dtype=dtype, name=name, **scales)

    problems: list[Problem] = []
    add = problems.append
    add(made("general", 6, 3, 2, 4, 3))
    if only is None:
        add(made("one step", 1, 2, 3, 4, 2))
        add(made("one example", 6, 1, 2, 4, 3))
        add(made("one input", 6, 2, 1, 4, 3))
        add(made("one hidden unit", 6, 2, 3, 1, 2))
        add(made("one output", 6, 2, 3, 4, 1))
        add(made("all sizes equal", 4, 4, 4, 4, 4))
        one_hot = made("one-hot inputs", 6, 1, 6, 4, 2)
        one_hot.x[:, 0, :] = np.eye(6)
        add(one_hot)
    add(made("weights of 0.01", 7, 2, 3, 5, 2, scale=0.01))
    add(made("weights of 3", 7, 2, 3, 5, 2, scale=3.0))
    add(made("saturated: weights of 10", 5, 3, 2, 4, 3, scale=10.0))
    add(made("inputs of 10", 5, 3, 2, 4, 2, x_scale=10.0))
    add(made("targets of 30", 6, 3, 2, 4, 2, target_scale=30.0))
    add(made("long", 20, 2, 2, 3, 2))
    bits = made("addition", *RECIPE)
    rng = np.random.default_rng(0)
    for array in (bits.x, bits.targets):
        array[:] = rng.integers(0, 2, array.shape)
    add(bits)
    return problems


def random(shapes: Shapes, dtype: str, seed: int, count: int) -> Iterator[Problem]:
    """Random problems: sizes from 1 to 8, weights from 0.01 to 10."""
    rng = np.random.default_rng([seed, 1])
    for number in range(count):
        sizes = shapes.only or Sizes(*(int(n) for n in rng.integers(1, [9, 4, 5, 7, 4])))
        yield problem(
            int(rng.integers(2**32)),
            sizes,
            scale=float(10 ** rng.uniform(-2, 1)),
            x_scale=float(10 ** rng.uniform(-1, 1)),
            dtype=dtype,
            name=f"random {number + 1}",
        )
