"""The problems that a backward pass must differentiate, designed to detect every mistake.

A problem with one step cannot detect a missing recurrent term, a symmetric W cannot detect a
missing transpose, a batch of one cannot detect a mean. So each size of the designed problems is
independent of the others, and each special case occurs once. `CONDITIONS` is the table of the
problems, which docs/check.md shows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.params import Params


class Sizes(NamedTuple):
    """The five dimensions of a problem."""

    time: int
    batch: int
    n_in: int
    hidden: int
    n_out: int


#: The recipe's sizes, which most hand-written passes are written for.
RECIPE = Sizes(time=8, batch=1, n_in=2, hidden=16, n_out=1)


class Problem(NamedTuple):
    """A squared error (4) to differentiate at these weights, from h_0 = 0."""

    params: Params
    x: Float[np.ndarray, "time batch n_in"]
    targets: Float[np.ndarray, "time batch n_out"]
    name: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all arrays."""
        return self.x.dtype

    @property
    def sizes(self) -> Sizes:
        """The five dimensions."""
        time, batch, n_in = self.x.shape
        hidden, n_out = self.params.V.shape
        return Sizes(time, batch, n_in, hidden, n_out)


@dataclass(frozen=True)
class Shapes:
    """The sizes a candidate takes: any (`only` is None) or one, with or without a batch axis."""

    only: Sizes | None = None
    batch_axis: bool = True

    @classmethod
    def parse(cls, text: str) -> "Shapes":
        """Read `any`, `recipe`, `T,B,I,H,O`, or `time=T,batch=B,n_in=I,hidden=H,n_out=O`.

        Raises:
            ValueError: the text has another form.
        """
        if text == "any":
            return cls()
        if text == "recipe":
            return cls(RECIPE, batch_axis=False)
        try:
            if "=" in text:
                named = dict(pair.split("=") for pair in text.split(","))
                sizes = Sizes(**{name: int(size) for name, size in named.items()})
            else:
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
    """Normally distributed weights, inputs and targets, times their scales."""
    rng = np.random.default_rng(seed)
    time, batch, n_in, hidden, n_out = sizes
    drawn = (
        (scale, (n_in, hidden)),
        (scale, (hidden, hidden)),
        (scale, (hidden, n_out)),
        (x_scale, (time, batch, n_in)),
        (target_scale, (time, batch, n_out)),
    )
    U, W, V, x, targets = ((size * rng.standard_normal(s)).astype(dtype) for size, s in drawn)
    return Problem(Params(U, W, V), x, targets, name)


class Condition(NamedTuple):
    """A condition that a mistake may depend on, and the problem that tests it."""

    problem: str  # its name
    asks: str  # the condition, in words
    sizes: Sizes
    any_size: bool = True  # whether it also makes sense at the one size a pass may take
    change: Callable[[Problem], object] = lambda p: None  # writes it into a drawn problem
    scale: float = 1.0
    x_scale: float = 1.0
    target_scale: float = 1.0
    strides: Callable[[Any], Any] = lambda array: array  # the same array in another layout


def _rng(p: Problem) -> np.random.Generator:
    return np.random.default_rng(p.x.size)


def _bits(p: Problem) -> None:
    rng = np.random.default_rng(0)
    for array in (p.x, p.targets):
        array[:] = rng.integers(0, 2, array.shape)


def _one_hot(p: Problem) -> None:
    p.x[:] = np.eye(len(p.x), p.sizes.n_in)[:, np.newaxis]


def _repeated_one_hot(p: Problem) -> None:
    """Fewer inputs than examples: two examples of a step share one, and so do two steps."""
    chosen = _rng(p).integers(0, max(1, p.sizes.n_in - 1), p.x.shape[:2])
    p.x[:] = np.eye(p.sizes.n_in)[chosen]


def _some_zeros(p: Problem) -> None:
    """Set single entries to 0, and all inputs of one step, neither the first nor the last."""
    for array in (*p.params, p.x, p.targets):
        array[_rng(p).random(array.shape) < 0.4] = 0
    p.x[len(p.x) // 2] = 0


def _large_inputs(p: Problem) -> None:
    p.params.U[:] /= 300


def _large_preactivation(p: Problem) -> None:
    p.params.U[:, 0] = 5000 + np.abs(p.params.U[:, 0])


def _large_output(p: Problem) -> None:
    weight = 4000 / p.sizes.hidden  # the states are about 1/2
    p.params.V[:, 0], p.params.V[:, 1:2] = -weight, weight


def _diagonal(p: Problem) -> None:
    p.params.W[:] = np.diag(np.diag(p.params.W))


def _long_memory(p: Problem) -> None:
    """Errors neither vanish nor grow: W shifts the states, and sigmoid' is near 1/4."""
    U, W, _ = p.params
    W[:] = 4 * np.roll(np.eye(len(W)), 1, axis=1)
    U[0] = -2  # cancels what W adds at states of 1/2
    p.x[..., 1:] *= 0.002
    p.x[..., 0] = 1
    p.x[0, :, 0] = 0  # h_0 is 0
    p.targets[-1] *= 100


def _strided(array: Any) -> Any:
    """Every other entry of a larger array, along each axis."""
    larger = np.full([2 * size for size in array.shape], 3, array.dtype)
    every_other = larger[(slice(None, None, 2),) * array.ndim]
    every_other[:] = array
    return every_other


_LONG = 130

CONDITIONS = (
    Condition("general", "every size different from the others", Sizes(6, 3, 2, 4, 3)),
    Condition("one step", "T = 1", Sizes(1, 2, 3, 4, 2), False),
    Condition("one example", "B = 1", Sizes(6, 1, 2, 4, 3), False),
    Condition("one input", "n_in = 1", Sizes(6, 2, 1, 4, 3), False),
    Condition("one hidden unit", "hidden = 1", Sizes(6, 2, 3, 1, 2), False),
    Condition("one output", "n_out = 1", Sizes(6, 2, 3, 4, 1), False),
    Condition("all sizes equal", "shapes that fit either way", Sizes(4, 4, 4, 4, 4), False),
    Condition(
        "one-hot inputs", "an input of its own for every step", Sizes(6, 1, 6, 4, 2), False,
        _one_hot,
    ),
    Condition("weights of 0.01", "small weights", Sizes(7, 2, 3, 5, 2), scale=0.01),
    Condition("weights of 3", "large weights", Sizes(7, 2, 3, 5, 2), scale=3.0),
    Condition(
        "saturated: weights of 10", "states and outputs near 0 and 1", Sizes(5, 3, 2, 4, 3),
        scale=10.0,
    ),
    Condition("inputs of 10", "inputs above 1", Sizes(5, 3, 2, 4, 2), x_scale=10.0),
    Condition("targets of 30", "errors above 1", Sizes(6, 3, 2, 4, 2), target_scale=30.0),
    Condition("long", "T = 20", Sizes(20, 2, 2, 3, 2)),
    Condition("addition", "bits as inputs and targets", RECIPE, change=_bits),
    Condition(
        "long memory", "T above 100 (and above `--window`)", Sizes(_LONG, 2, 2, 3, 2), False,
        _long_memory,
    ),
    Condition("130 examples", "B above 128", Sizes(3, 130, 2, 3, 2), False),
    Condition("40 inputs", "n_in above 32", Sizes(4, 2, 40, 3, 2), False),
    Condition("40 hidden units", "hidden above 32", Sizes(3, 2, 2, 40, 2), False, scale=0.3),
    Condition("40 outputs", "n_out above 32", Sizes(4, 2, 2, 3, 40), False),
    Condition(
        "all sizes large", "T above 20, B and n_in above 8, hidden above 16, n_out above 4 at once",
        Sizes(21, 9, 10, 18, 5), False, scale=0.3,
    ),
    Condition(
        "one-hot inputs again", "one input in two examples, and in two steps", Sizes(6, 4, 3, 4, 2),
        change=_repeated_one_hot,
    ),
    Condition(
        "some zeros", "some of the inputs, weights and targets 0; a step without input",
        Sizes(7, 3, 3, 5, 2), change=_some_zeros,
    ),
    Condition("inputs of 0", "x all 0", Sizes(5, 3, 2, 4, 3), x_scale=0.0),
    Condition("U of 0", "U all 0", Sizes(5, 3, 2, 4, 3), change=lambda p: p.params.U.fill(0)),
    Condition("W of 0", "W all 0", Sizes(5, 3, 2, 4, 3), change=lambda p: p.params.W.fill(0)),
    Condition("V of 0", "V all 0", Sizes(5, 3, 2, 4, 3), change=lambda p: p.params.V.fill(0)),
    Condition("diagonal W", "W diagonal", Sizes(6, 3, 2, 4, 2), change=_diagonal),
    Condition(
        "W the identity", "W the identity", Sizes(6, 3, 2, 4, 2),
        change=lambda p: np.copyto(p.params.W, np.eye(len(p.params.W))),
    ),
    Condition(
        "inputs of 300", "abs(x) above 100", Sizes(6, 3, 2, 4, 2), change=_large_inputs,
        x_scale=300.0,
    ),
    Condition(
        "targets of 3,000", "errors above 100, gradients of norm above 1,000",
        Sizes(6, 3, 2, 4, 2), target_scale=3000.0,
    ),
    Condition(
        "a state beyond exp", "abs(z) above 709, where exp overflows", Sizes(6, 3, 2, 4, 2),
        change=_large_preactivation,
    ),
    Condition(
        "an output beyond exp", "abs(h V) above 709, where exp overflows", Sizes(6, 3, 2, 4, 3),
        change=_large_output,
    ),
    Condition(
        "Fortran order", "arrays in Fortran order", Sizes(6, 3, 2, 4, 3), strides=np.asfortranarray
    ),
    Condition(
        "strided views", "arrays that are views of every other entry", Sizes(6, 3, 2, 4, 3),
        strides=_strided,
    ),
)  # fmt: skip


def designed(shapes: Shapes, dtype: str, window: int | None = None) -> list[Problem]:
    """The designed problems: one for each of `CONDITIONS` that the shapes allow.

    Args:
        window: the long problem has more steps than this, so that truncation is detected.
    """
    used = [c for c in CONDITIONS if shapes.only is None or c.any_size]
    return [_posed(c, seed, shapes, dtype, window) for seed, c in enumerate(used)]


def _posed(c: Condition, seed: int, shapes: Shapes, dtype: str, window: int | None) -> Problem:
    sizes = shapes.only or c.sizes
    if sizes.time == _LONG and shapes.only is None:
        sizes = sizes._replace(time=max(_LONG, 10 + 5 * (window or 0) // 4))
    scales = {"scale": c.scale, "x_scale": c.x_scale, "target_scale": c.target_scale}
    p = problem(seed, sizes, **scales, dtype=dtype, name=c.problem)
    c.change(p)
    params, x, targets, name = p
    return Problem(Params(*map(c.strides, params)), c.strides(x), c.strides(targets), name)


def in_turn(shapes: Shapes, dtype: str) -> Iterator[tuple[Problem, ...]]:
    """Sequences of problems to ask in one process; the last problem of each is judged.

    A and B have the same sizes, C has others. They reveal state that is cached by shape, by
    weights or by inputs.
    """
    sizes = shapes.only or Sizes(6, 3, 2, 4, 3)
    a = problem(1, sizes, dtype=dtype, name="A")
    b = problem(2, sizes, dtype=dtype, name="B")
    c = problem(3, shapes.only or Sizes(5, 2, 3, 5, 2), dtype=dtype, name="C")
    inputs = Problem(a.params, b.x, b.targets, "B's inputs with A's weights")
    weights = Problem(b.params, a.x, a.targets, "A's inputs with B's weights")
    yield a, b
    yield a, b, a
    yield a, inputs
    yield a, weights
    yield a, b, a, c, b, a


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
