"""Problems to differentiate, drawn from a network's axis names alone.

A problem with one step never sees a dropped recurrent term, a symmetric matrix never a missing
transpose, a batch of one never a mean. So in `CONDITIONS` each size is independent of the others,
and each special case comes once.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnn_torch.networks.axes import Argument
from rnn_torch.networks.network import Array, Network


class Problem(NamedTuple):
    """Values for every argument of a network; `sizes` of its axes; `name` says what is special."""

    name: str
    sizes: dict[str, int]
    values: dict[str, Array]
    dtype: str = "float64"


class Condition(NamedTuple):
    """What is special about a problem: sizes, and factors of the normally distributed numbers.

    `width` is the size of the first axis that is neither time nor batch; the others differ from it.
    `fill` is what weights or inputs are set to, or how all arrays lie in memory.
    """

    name: str
    time: int = 6
    batch: int = 3
    width: int = 4
    equal: bool = False
    weights: int | float = 1.0
    inputs: int | float = 1.0
    losses: int | float = 1.0
    fill: str = ""


#: "one x" stands for as many problems as there are axes, each with another axis of size 1.
CONDITIONS = (
    Condition("general"),
    Condition("two steps", time=2, batch=2),
    Condition("one x"),
    Condition("all sizes equal", 4, 4, 4, equal=True),
    Condition("inputs of their own each", fill="own inputs"),
    Condition("the same input twice", fill="same inputs"),
    Condition("inputs 0", fill="inputs 0"),
    Condition("weights 0", fill="weights 0"),
    Condition("square weights the identity", fill="identity"),
    Condition("weights of 0.01", weights=0.01),
    Condition("weights of 3", weights=3.0),
    Condition("saturated: weights of 10", time=5, weights=10.0),
    Condition("inputs of 10", time=5, inputs=10.0),
    Condition("inputs of 300", time=4, inputs=300.0),
    Condition("targets or upstream of 30", losses=30.0),
    Condition("targets or upstream of 3000", losses=3000.0),
    Condition("long", time=41, batch=2, width=2),
    Condition("many examples", time=3, batch=11),
    Condition("large", time=3, batch=2, width=35),
    Condition("some zeros", fill="some zeros"),
    Condition("Fortran order", fill="Fortran order"),
    Condition("strided views", fill="strided"),
)


def designed(
    network: Network, dtype: str = "float64", fixed: Mapping[str, int] | None = None
) -> list[Problem]:
    """The designed problems; `fixed` are sizes that a backward pass insists on.

    Raises:
        ValueError: a name in `fixed` is no axis of the network, or its size is not positive.
    """
    fixed = dict(fixed or {})
    for name, size in fixed.items():
        if name not in network.axis_names or size < 1:
            names = ", ".join(network.axis_names)
            raise ValueError(f"sizes must be 1 or more, of the axes {names}, got {name}={size}")
    found: list[Problem] = []
    seen = set()
    for condition in CONDITIONS:
        ones = network.axis_names if condition.name == "one x" else [""]
        for one in ones:
            name = f"one {one}" if one else condition.name
            sizes = {**_sizes(network, condition, one), **fixed}
            what = (*sizes.values(), *condition[5:])
            if what not in seen:
                drawn = _draw(network, sizes, condition, len(found), dtype)
                found.append(Problem(name, sizes, drawn, dtype))
            seen.add(what)
    return found


def random(
    network: Network,
    dtype: str = "float64",
    seed: int = 0,
    count: int = 1,
    fixed: Mapping[str, int] | None = None,
    longest: int = 20,
) -> Iterator[Problem]:
    """Random problems: widths from 1 to 8, up to `longest` steps, weights from 0.01 to 3."""
    rng = np.random.default_rng([seed, 1])
    for number in range(count):
        sizes = {name: int(rng.integers(1, 9)) for name in network.axis_names}
        sizes |= {"time": int(np.exp(rng.uniform(0, np.log(longest + 0.99)))), **(fixed or {})}
        weights, inputs = 10 ** rng.uniform(-2, 0.5), 10 ** rng.uniform(-1, 1)
        condition = Condition("random", weights=weights, inputs=inputs)
        drawn = _draw(network, sizes, condition, int(rng.integers(2**32)), dtype)
        yield Problem(f"random {number + 1}", sizes, drawn, dtype)


def in_turn(
    network: Network, dtype: str = "float64", fixed: Mapping[str, int] | None = None
) -> Iterator[tuple[Problem, ...]]:
    """Problems to ask one after the other in one process; the last of them is what is judged.

    A and B have the same sizes, and C others; so what is kept by shape shows, and what is kept
    for the same weights or the same inputs.
    """
    sizes = {**_sizes(network, CONDITIONS[0], ""), **(fixed or {})}
    others = {**_sizes(network, Condition("C", time=5, batch=2, width=3), ""), **(fixed or {})}
    a, b, c = (
        Problem(name, its, _draw(network, its, CONDITIONS[0], seed, dtype), dtype)
        for seed, (name, its) in enumerate((("A", sizes), ("B", sizes), ("C", others)), 101)
    )
    timed = {n for n, argument in network.arguments.items() if argument.time_axis is not None}
    mixed = {n: (b if n in timed else a).values[n] for n in a.values}
    yield a, b
    yield a, b, a
    yield a, Problem("B's inputs with A's weights", sizes, mixed, dtype)
    yield a, b, a, c, b, a


def with_own_inputs(
    network: Network, inputs: Iterable[str], fixed: Mapping[str, int] | None = None
) -> Problem:
    """A problem in which no two steps share an input feature or a token, if the sizes allow it."""
    condition = Condition("inputs of their own each", batch=2, fill="own inputs")
    sizes = {**_sizes(network, condition, ""), **(fixed or {})}
    for name in inputs:
        argument, wanted = network.arguments[name], sizes["time"]
        axes = [a for a in argument.axes if not {"time", "batch"} & set(a.names)]
        if argument.below:
            axes, wanted = [argument.below], sizes["time"] * sizes.get("batch", 1)
        for axis in axes:
            if axis.names and axis.size(sizes) < wanted and axis.names[0] not in (fixed or {}):
                sizes[axis.names[0]] = wanted
    return Problem(condition.name, sizes, _draw(network, sizes, condition, 0, "float64"))


def other(network: Network, problem: Problem, name: str, steps: Iterable[int]) -> Problem:
    """The problem with argument `name` changed at these steps, everywhere."""
    argument, value = network.arguments[name], problem.values[name].copy()
    at: list[Any] = [slice(None)] * value.ndim
    at[argument.time_axis or 0] = list(steps)
    rng, old = np.random.default_rng(len(at)), value[tuple(at)]
    if argument.role == "tokens":
        below = argument.below.size(problem.sizes) if argument.below else 1
        value[tuple(at)] = (old + 1) % below
    elif argument.between:
        value[tuple(at)] = (sum(argument.between) - old) * 0.75 + old * 0.25
    else:
        value[tuple(at)] = old + (1 + rng.random(old.shape)) * (1 + np.abs(old).mean())
    return problem._replace(values={**problem.values, name: value})


def _sizes(network: Network, condition: Condition, one: str) -> dict[str, int]:
    """All unequal, unless they are to be equal; `one` has size 1."""
    sizes = {"time": condition.time, "batch": condition.batch}
    free = (n for n in range(condition.width, 999) if n not in sizes.values())
    for name in network.axis_names:
        if name not in sizes:
            sizes[name] = condition.width if condition.equal else next(free)
    if one:
        sizes[one] = 1
    return {name: sizes[name] for name in network.axis_names}


def _draw(
    network: Network, sizes: Mapping[str, int], condition: Condition, seed: int, dtype: str
) -> dict[str, Array]:
    rng, values = np.random.default_rng(seed), {}
    for name, argument in network.arguments.items():
        shape = argument.shape(sizes)
        if argument.role == "tokens":
            below = argument.below.size(sizes) if argument.below else 1
            value = rng.integers(0, below, shape)
            if condition.fill == "same inputs" and value.size:
                value[...] = value.flat[0]
            elif condition.fill == "own inputs":
                value = (np.arange(value.size) % below).reshape(shape)
        elif argument.between:
            value = rng.uniform(*argument.between, shape).astype(dtype)
        elif name in network.zeros:
            value = np.zeros(shape, dtype)
        else:
            value = _scaled(rng, argument, shape, condition).astype(dtype)
        values[name] = _laid_out(value, condition.fill)
    return values


def _laid_out(value: Array, fill: str) -> Array:
    """The same array, in Fortran order or as every other entry of a larger one, if so wanted."""
    if fill == "Fortran order":
        return np.asfortranarray(value)
    if fill == "strided" and value.ndim:
        larger = np.zeros([2 * size for size in value.shape], value.dtype)
        every_other: Array = larger[(slice(None, None, 2),) * value.ndim]
        every_other[...] = value
        return every_other
    return value


def _scaled(
    rng: np.random.Generator, argument: Argument, shape: tuple[int, ...], condition: Condition
) -> Array:
    drawn = np.asarray(rng.standard_normal(shape))
    if condition.fill == "some zeros":
        drawn *= rng.random(shape) > 0.4
    if argument.role in ("targets", "upstream"):
        return drawn * condition.losses
    if argument.time_axis is not None:
        if condition.fill in ("own inputs", "same inputs"):
            drawn = _one_hot(argument, shape, condition.fill == "own inputs")
        return drawn * condition.inputs * (condition.fill != "inputs 0")
    if condition.fill == "identity" and len(shape) == 2 and shape[0] == shape[1]:
        return np.eye(shape[0])
    wide = max(1.0, max(shape, default=1) / 8) ** 0.5  # a wide network is no more chaotic
    return drawn * condition.weights / wide * (condition.fill != "weights 0")


def _one_hot(argument: Argument, shape: tuple[int, ...], own: bool) -> Array:
    """A unit vector for each step; another one each, as far as there are any, or always one."""
    features = [i for i, a in enumerate(argument.axes) if not {"time", "batch"} & set(a.names)]
    if not features:
        return np.ones(shape)
    axis = features[-1]
    time = argument.time_axis or 0
    step = np.arange(shape[time]).reshape([-1 if i == time else 1 for i in range(len(shape))])
    feature = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(feature == step % shape[axis] * own, shape) * 1.0
