"""The problems that a backward pass must differentiate, chosen so that no mistake can hide.

A problem with a single step never sees a dropped recurrent term, a symmetric W never sees a missing
transpose, a batch of one never sees a mean; so the designed set has every size independent of the
others, and each special case once. `CONDITIONS` is the table of the problems, one a row;
docs/check.md shows it.
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
        """From `any`, `recipe`, `T,B,I,H,O`, or `time=T,batch=B,n_in=I,hidden=H,n_out=O`.

        Raises:
            ValueError: anything else; the message says what is wanted.
        """
        if text == "any":
            return cls()
        if text == "recipe":
            return cls(RECIPE, batch_axis=False)
        try:
            if "=" in text:
                named = dict(each.split("=") for each in text.split(","))
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


class Condition(NamedTuple):
    """What a mistake may hide behind, and the problem that asks it."""

    problem: str  # its name
    asks: str  # the condition, in words
    sizes: Sizes
    any_size: bool = True  # asked at other sizes too, of passes that know one size only
    change: Callable[[Problem], object] = lambda drawn: None  # writes it into a drawn problem
    scale: float = 1.0
    x_scale: float = 1.0
    target_scale: float = 1.0
    strides: Callable[[Any], Any] = lambda array: array  # the same array, laid out otherwise


def _rng(drawn: Problem) -> np.random.Generator:
    return np.random.default_rng(drawn.x.size)


def _bits(drawn: Problem) -> None:
    rng = np.random.default_rng(0)
    for array in (drawn.x, drawn.targets):
        array[:] = rng.integers(0, 2, array.shape)


def _one_hot(drawn: Problem) -> None:
    drawn.x[:] = np.eye(len(drawn.x), drawn.sizes.n_in)[:, np.newaxis]


def _one_hot_again(drawn: Problem) -> None:
    """Fewer inputs than examples: two of a step share theirs, and two steps do."""
    chosen = _rng(drawn).integers(0, max(1, drawn.sizes.n_in - 1), drawn.x.shape[:2])
    drawn.x[:] = np.eye(drawn.sizes.n_in)[chosen]


def _some_zeros(drawn: Problem) -> None:
    """Single entries, and all inputs of a step that is neither the first nor the last."""
    for array in (*drawn.params, drawn.x, drawn.targets):
        array[_rng(drawn).random(array.shape) < 0.4] = 0
    drawn.x[len(drawn.x) // 2] = 0


def _large_inputs(drawn: Problem) -> None:
    drawn.params.U[:] /= 300


def _far_state(drawn: Problem) -> None:
    drawn.params.U[:, 0] = 5000 + np.abs(drawn.params.U[:, 0])


def _far_output(drawn: Problem) -> None:
    far = 4000 / drawn.sizes.hidden  # for each of the states, which are 1/2 or so
    drawn.params.V[:, 0], drawn.params.V[:, 1:2] = -far, far


def _diagonal(drawn: Problem) -> None:
    drawn.params.W[:] = np.diag(np.diag(drawn.params.W))


def _long_memory(drawn: Problem) -> None:
    """Errors neither vanish nor grow: W hands every state on, and sigmoid' is near its 1/4."""
    U, W, _ = drawn.params
    W[:] = 4 * np.roll(np.eye(len(W)), 1, axis=1)
    U[0] = -2  # what W adds to it at states of 1/2
    drawn.x[..., 1:] *= 0.002
    drawn.x[..., 0] = 1
    drawn.x[0, :, 0] = 0  # h_0 is 0
    drawn.targets[-1] *= 100


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
        change=_one_hot_again,
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
        change=_far_state,
    ),
    Condition(
        "an output beyond exp", "abs(h V) above 709, where exp overflows", Sizes(6, 3, 2, 4, 3),
        change=_far_output,
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
    """The designed set, a problem for each of `CONDITIONS` that the shapes leave.

    Args:
        window: the long problem is longer than this, so that truncation shows.
    """
    asked = [c for c in CONDITIONS if shapes.only is None or c.any_size]
    return [_asking(c, seed, shapes, dtype, window) for seed, c in enumerate(asked)]


def _asking(c: Condition, seed: int, shapes: Shapes, dtype: str, window: int | None) -> Problem:
    sizes = shapes.only or c.sizes
    if sizes.time == _LONG and shapes.only is None:
        sizes = sizes._replace(time=max(_LONG, 10 + 5 * (window or 0) // 4))
    scales = {"scale": c.scale, "x_scale": c.x_scale, "target_scale": c.target_scale}
    drawn = problem(seed, sizes, **scales, dtype=dtype, name=c.problem)
    c.change(drawn)
    params, x, targets, name = drawn
    return Problem(Params(*map(c.strides, params)), c.strides(x), c.strides(targets), name)


def in_turn(shapes: Shapes, dtype: str) -> Iterator[tuple[Problem, ...]]:
    """Problems to ask one after the other in one process; the last of them is what is judged.

    A and B have the same sizes, and C others; so what is kept by shape shows, and what is kept
    for the same weights or the same inputs.
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


def conditions_table() -> str:
    """`CONDITIONS` as a Markdown table: docs/check.md has it."""
    lines = [
        "| condition | problem | T, B, n_in, hidden, n_out | at one size only |",
        "|---|---|---|:-:|",
    ]
    for c in CONDITIONS:
        sizes = ", ".join(map(str, c.sizes))
        lines.append(f"| {c.asks} | {c.problem} | {sizes} | {'x' if c.any_size else ''} |")
    return "\n".join(lines)


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
