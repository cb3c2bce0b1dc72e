"""Draw problems to differentiate from a network's axis names alone.

A problem with one step cannot detect a missing recurrent term, a symmetric matrix cannot detect a
missing transpose, a batch of one cannot detect a mean. So each size in `CONDITIONS` is independent
of the others, and each special case occurs once.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bptt_check.networks.axes import Argument
from bptt_check.networks.network import Array, Network


class Problem(NamedTuple):
    """Values for every argument of a network, the `sizes` of its axes, its condition as `name`."""

    name: str
    sizes: dict[str, int]
    values: dict[str, Array]
    dtype: str = "float64"


class Condition(NamedTuple):
    """The condition of a problem: sizes, and factors of the normally distributed numbers.

    `width` is the size of the first axis that is neither time nor batch; other axes get other
    sizes. `fill` names special values of weights or inputs, or a memory layout.
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


#: "one x" is expanded to one problem for each axis, in which that axis has size 1.
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
    """The designed problems; `fixed` are axis sizes that a backward pass requires.

    Raises:
        ValueError: a name in `fixed` is not an axis of the network, or its size is not positive.
    """
    fixed = dict(fixed or {})
    for name, size in fixed.items():
        if name not in network.axis_names or size < 1:
            names = ", ".join(network.axis_names)
            raise ValueError(f"sizes must be at least 1, for axes among {names}, got {name}={size}")
    found: list[Problem] = []
    keys = set()
    for condition in CONDITIONS:
        axes = network.axis_names if condition.name == "one x" else [""]
        for axis in axes:
            name = f"one {axis}" if axis else condition.name
            sizes = {**_sizes(network, condition, axis), **fixed}
            key = (*sizes.values(), *condition[5:])
            if key not in keys:
                values = _draw(network, sizes, condition, len(found), dtype)
                found.append(Problem(name, sizes, values, dtype))
            keys.add(key)
    return found


def random(
    network: Network,
    dtype: str = "float64",
    seed: int = 0,
    count: int = 1,
    fixed: Mapping[str, int] | None = None,
    longest: int = 20,
    moderate: bool = False,
) -> Iterator[Problem]:
    """Random problems: widths from 1 to 8, up to `longest` steps, weights from 0.01 to 3.

    With `moderate`, weights and inputs are of size 1.
    """
    rng = np.random.default_rng([seed, 1])
    for number in range(count):
        sizes = {name: int(rng.integers(1, 9)) for name in network.axis_names}
        sizes |= {"time": int(np.exp(rng.uniform(0, np.log(longest + 0.99)))), **(fixed or {})}
        weights, inputs = 10 ** rng.uniform(-2, 0.5), 10 ** rng.uniform(-1, 1)
        if moderate:
            weights, inputs = 1.0, 1.0
        condition = Condition("random", weights=weights, inputs=inputs)
        values = _draw(network, sizes, condition, int(rng.integers(2**32)), dtype)
        yield Problem(f"random {number + 1}", sizes, values, dtype)


def in_turn(
    network: Network, dtype: str = "float64", fixed: Mapping[str, int] | None = None
) -> Iterator[tuple[Problem, ...]]:
    """Sequences of problems to ask in one process; the last problem of each is judged.

    A and B have the same sizes, C has others. They reveal state that is cached by shape, by
    weights or by inputs.
    """
    sizes = {**_sizes(network, CONDITIONS[0], ""), **(fixed or {})}
    others = {**_sizes(network, Condition("C", time=5, batch=2, width=3), ""), **(fixed or {})}
    a, b, c = (
        Problem(name, size, _draw(network, size, CONDITIONS[0], seed, dtype), dtype)
        for seed, (name, size) in enumerate((("A", sizes), ("B", sizes), ("C", others)), 101)
    )
    timed = {n for n, argument in network.arguments.items() if argument.time_axis is not None}
    mixed = {n: (b if n in timed else a).values[n] for n in a.values}
    yield a, b
    yield a, b, a
    yield a, Problem("B's inputs with A's weights", sizes, mixed, dtype)
    yield a, b, a, c, b, a


def with_own_inputs(
    network: Network,
    inputs: Iterable[str],
    fixed: Mapping[str, int] | None = None,
    dtype: str = "float64",
) -> Problem:
    """A problem in which no two steps share an input feature or a token, if the sizes allow it."""
    condition = Condition("inputs of their own each", batch=2, fill="own inputs")
    sizes = {**_sizes(network, condition, ""), **(fixed or {})}
    for name in inputs:
        argument, count = network.arguments[name], sizes["time"]
        axes = [a for a in argument.axes if not {"time", "batch"} & set(a.names)]
        if argument.below:
            axes, count = [argument.below], sizes["time"] * sizes.get("batch", 1)
        for axis in axes:
            if axis.names and axis.size(sizes) < count and axis.names[0] not in (fixed or {}):
                sizes[axis.names[0]] = count
    return Problem(condition.name, sizes, _draw(network, sizes, condition, 0, dtype), dtype)


def changed_at(network: Network, problem: Problem, name: str, steps: Iterable[int]) -> Problem:
    """The problem with every entry of argument `name` changed at these steps."""
    argument, value = network.arguments[name], problem.values[name].copy()
    slices: list[Any] = [slice(None)] * value.ndim
    slices[argument.time_axis or 0] = list(steps)
    index = tuple(slices)
    rng, old = np.random.default_rng(len(index)), value[index]
    if argument.role == "tokens":
        count = argument.below.size(problem.sizes) if argument.below else 1
        value[index] = (old + 1) % count
    elif argument.between:
        value[index] = (sum(argument.between) - old) * 0.75 + old * 0.25
    else:
        value[index] = old + (1 + rng.random(old.shape)) * (1 + np.abs(old).mean())
    return problem._replace(values={**problem.values, name: value})


def _sizes(network: Network, condition: Condition, unit_axis: str) -> dict[str, int]:
    """Unequal sizes, unless the condition wants equal ones; `unit_axis` has size 1."""
    sizes = {"time": condition.time, "batch": condition.batch}
    free = (n for n in range(condition.width, 999) if n not in sizes.values())
    for name in network.axis_names:
        if name not in sizes:
            sizes[name] = condition.width if condition.equal else next(free)
    if unit_axis:
        sizes[unit_axis] = 1
    return {name: sizes[name] for name in network.axis_names}


def _draw(
    network: Network, sizes: Mapping[str, int], condition: Condition, seed: int, dtype: str
) -> dict[str, Array]:
    rng, values = np.random.default_rng(seed), {}
    for name, argument in network.arguments.items():
        shape = argument.shape(sizes)
        if argument.role == "tokens":
            count = argument.below.size(sizes) if argument.below else 1
            value = rng.integers(0, count, shape)
            if condition.fill == "same inputs" and value.size:
                value[...] = value.flat[0]
            elif condition.fill == "own inputs":
                value = (np.arange(value.size) % count).reshape(shape)
        elif argument.between:
            value = rng.uniform(*argument.between, shape).astype(dtype)
        elif name in network.zeros:
            value = np.zeros(shape, dtype)
        else:
            value = _scaled(rng, argument, shape, condition).astype(dtype)
        values[name] = _with_layout(value, condition.fill)
    return values


def _with_layout(value: Array, fill: str) -> Array:
    """The same array in the layout that `fill` names: Fortran order, strided, or unchanged."""
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
    value = np.asarray(rng.standard_normal(shape))
    if condition.fill == "some zeros":
        value *= rng.random(shape) > 0.4
    if argument.role in ("targets", "upstream"):
        return value * condition.losses
    if argument.time_axis is not None:
        if condition.fill in ("own inputs", "same inputs"):
            value = _one_hot(argument, shape, condition.fill == "own inputs")
        return value * condition.inputs * (condition.fill != "inputs 0")
    if condition.fill == "identity" and len(shape) == 2 and shape[0] == shape[1]:
        return np.eye(shape[0])
    scale = max(1.0, max(shape, default=1) / 8) ** 0.5  # keeps wide networks from chaos
    return value * condition.weights / scale * (condition.fill != "weights 0")


def _one_hot(argument: Argument, shape: tuple[int, ...], distinct: bool) -> Array:
    """A unit vector for each step: distinct ones, as far as the size allows, or the same one."""
    features = [i for i, a in enumerate(argument.axes) if not {"time", "batch"} & set(a.names)]
    if not features:
        return np.ones(shape)
    axis = features[-1]
    time = argument.time_axis or 0
    step = np.arange(shape[time]).reshape([-1 if i == time else 1 for i in range(len(shape))])
    feature = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(feature == step % shape[axis] * distinct, shape) * 1.0
