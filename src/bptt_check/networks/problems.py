"""Draw problems to differentiate from a network's axis names alone.

A problem with one step cannot detect a missing recurrent term, a symmetric matrix cannot detect a
missing transpose, a batch of one cannot detect a mean. So each size in `CONDITIONS` is independent
of the others, and each special case occurs once. What a condition changes is told by role: the
recurrent weights, those of the inputs and of the outputs, whatever their names.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from bptt_check.candidate.layout import laid_out
from bptt_check.networks.axes import Argument
from bptt_check.networks.fills import OF_BLOCKS, Drawn, fill
from bptt_check.networks.network import Array, Network, rounded
from bptt_check.networks.roles import Roles, roles


class Problem(NamedTuple):
    """Values for every argument of a network, the `sizes` of its axes, its condition as `name`."""

    name: str
    sizes: dict[str, int]
    values: dict[str, Array]
    dtype: str = "float64"

    def __repr__(self) -> str:
        """Without the values, which may be thousands of numbers."""
        return f"Problem({self.name!r}, {self.sizes}, {self.dtype})"


class Condition(NamedTuple):
    """The condition of a problem: sizes, and factors of the normally distributed numbers.

    `width` is the least size of an axis that is neither time nor batch and has no size by its role
    (`n_in`, `units`, `n_out`); all sizes differ, but for those given as `sizes`. `fill` names
    special values of weights or inputs, or a memory layout.
    """

    name: str
    time: int = 4
    batch: int = 3
    width: int = 4
    n_in: int = 0
    units: int = 0
    n_out: int = 0
    weights: int | float = 1.0
    inputs: int | float = 1.0
    losses: int | float = 1.0
    fill: str = ""
    sizes: tuple[tuple[str, int], ...] = ()


#: "one x" is expanded to one problem for each axis, in which that axis has size 1.
CONDITIONS = (
    Condition("general", time=6),
    Condition("two steps", time=2, batch=2),
    Condition("one x"),
    Condition("all sizes equal", 4, 4, 4, fill="equal sizes"),
    Condition("inputs of their own each", batch=2, fill="own inputs"),
    Condition("the same input twice", time=3, batch=2, fill="same inputs"),
    Condition("some inputs again", batch=5, fill="inputs again"),
    Condition("bits", batch=2, fill="bits"),
    Condition("zeros and tiny numbers", time=5, fill="some zeros"),
    Condition("inputs 0", time=3, batch=2, fill="inputs 0"),
    Condition("weights 0", time=3, batch=2, fill="weights 0"),
    Condition("input weights 0", time=3, batch=2, fill="input weights 0"),
    Condition("recurrent weights 0", time=3, batch=2, fill="recurrent weights 0"),
    Condition("output weights 0", time=3, batch=2, fill="output weights 0"),
    Condition("recurrent weights diagonal", fill="diagonal"),
    Condition("recurrent weights the identity", fill="identity"),
    Condition("weights of 0.01", weights=0.01),
    Condition("weights of 3", weights=3.0),
    Condition("saturated: weights of 10", weights=10.0),
    Condition("inputs of 10", inputs=10.0),
    Condition("inputs of 300", inputs=300.0, fill="small input weights"),
    Condition("errors of 30", losses=30.0),
    Condition("errors of 3000", losses=3000.0),
    Condition("a state beyond exp", fill="state beyond exp"),
    Condition("an output beyond exp", fill="output beyond exp"),
    Condition("long memory", 130, 2, 5, fill="long memory"),
    Condition("all sizes large", 21, 9, 5, n_in=10, units=18, weights=0.3),
    Condition("130 examples", time=3, batch=130),
    Condition("40 inputs", time=3, batch=2, n_in=40),
    Condition("65 units", time=3, batch=2, units=65, weights=0.5),
    Condition("40 outputs", time=2, batch=3, n_out=40),
    Condition("Fortran order", time=3, batch=2, fill="Fortran order"),
    Condition("strided views", time=3, batch=2, fill="strided"),
)
_GENERAL = CONDITIONS[0]
_SMALLER = (1.0, 0.5, 0.25)  # factors of the weights, tried until a problem can tell


def designed(
    network: Network,
    dtype: str = "float64",
    fixed: Mapping[str, int] | None = None,
    window: int | None = None,
) -> list[Problem]:
    """The designed problems; `fixed` are axis sizes that a backward pass requires.

    Raises:
        ValueError: a name in `fixed` is not an axis of the network, or its size is not positive.
    """
    return list(drawn(network, dtype, fixed, window))


def general(network: Network, fixed: Mapping[str, int] | None = None) -> Problem:
    """The first designed problem, in float64. Raises as `designed`."""
    return next(drawn(network, "float64", fixed))


def drawn(
    network: Network,
    dtype: str = "float64",
    fixed: Mapping[str, int] | None = None,
    window: int | None = None,
    tells: Callable[[Problem], bool] = lambda problem: True,
    left_out: str = "",
) -> Iterator[Problem]:
    """As `designed`, one after the other; what cannot tell is drawn again with smaller weights.

    Args:
        window: the problem with a long memory has more steps than this.
        tells: whether a problem can tell a right answer from a wrong one; if none of smaller
            weights does, the first one is yielded.
        left_out: the name of a condition that is not asked.
    """
    fixed = dict(fixed or {})
    for name, size in fixed.items():
        if name not in network.axis_names or size < 1:
            names = ", ".join(network.axis_names)
            raise ValueError(f"sizes must be at least 1, for axes among {names}, got {name}={size}")
    its, keys = roles(network), set()
    for number, condition in enumerate(network.conditions or CONDITIONS):
        if condition.name == left_out or not _applies(network, its, condition):
            continue
        if dtype == "float16" and max(condition.inputs, condition.losses) > 1:
            continue  # its largest number is 65504
        if condition.fill == "long memory" and window is not None:
            condition = condition._replace(time=max(condition.time, 10 + 5 * window // 4))
        axes = network.axis_names if condition.name == "one x" else [""]
        for axis in axes:
            sizes = _sizes(network, its, condition, fixed, axis)
            key = (*sizes.values(), *condition[7:11])
            if key in keys:
                continue
            keys.add(key)
            named = condition._replace(name=f"one {axis}" if axis else condition.name)
            posed = (
                _draw(
                    network,
                    named._replace(weights=factor * condition.weights),
                    sizes,
                    number + attempt * len(CONDITIONS),
                    dtype,
                )
                for attempt, factor in enumerate(_SMALLER)
            )
            first = next(posed)
            yield first if tells(first) else next(filter(tells, posed), first)


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
        sizes |= {"time": int(np.exp(rng.uniform(0, np.log(longest + 0.99))))}
        sizes = {**_fitted(network, sizes), **(fixed or {})}
        weights, inputs = 10 ** rng.uniform(-2, 0.5), 10 ** rng.uniform(-1, 1)
        if moderate:
            weights, inputs = 1.0, 1.0
        condition = Condition(f"random {number + 1}", weights=weights, inputs=inputs)
        yield _draw(network, condition, sizes, int(rng.integers(2**32)), dtype)


def in_turn(
    network: Network, dtype: str = "float64", fixed: Mapping[str, int] | None = None
) -> Iterator[tuple[Problem, ...]]:
    """Sequences of problems to ask in one process; the last problem of each is judged.

    A and B have the same sizes, D fewer steps, C others. They reveal state that is cached by shape,
    by weights or by inputs, and buffers that are not cleared.
    """
    its = roles(network)
    a, b, c, d = (
        _draw(network, condition, _sizes(network, its, condition, fixed), seed, dtype)
        for seed, condition in enumerate(
            (
                Condition("A"),
                Condition("B"),
                Condition("C", time=5, batch=2, width=3),
                Condition("D", time=2, width=5),  # its sizes are those of A, whose time is 4
            ),
            101,
        )
    )
    timed = {n for n, argument in network.arguments.items() if argument.time_axis is not None}
    weights = {n: value for n, value in b.values.items() if n not in timed}
    inputs = {n: value for n, value in b.values.items() if n in timed}
    yield a, b
    yield a, b, a
    yield a, d
    yield a, a._replace(name="B's inputs with A's weights", values=a.values | inputs)
    yield a, a._replace(name="A's inputs with B's weights", values=a.values | weights)
    yield a, b, a, c, b, a


def with_own_inputs(
    network: Network,
    inputs: Iterable[str],
    fixed: Mapping[str, int] | None = None,
    dtype: str = "float64",
) -> Problem:
    """A problem in which no two steps share an input feature or a token, if the sizes allow it."""
    condition = Condition("inputs of their own each", time=6, batch=2, fill="own inputs")
    sizes = _sizes(network, roles(network), condition, fixed)
    for name in inputs:
        argument, count = network.arguments[name], sizes["time"]
        axes = [argument.axes[i] for i in argument.features]
        if argument.below:
            axes, count = [argument.below], sizes["time"] * sizes.get("batch", 1)
        for axis in axes:
            if axis.names and axis.size(sizes) < count and axis.names[0] not in (fixed or {}):
                sizes[axis.names[0]] = count
    return _draw(network, condition, sizes, 0, dtype)


def changed_at(network: Network, problem: Problem, name: str, steps: Iterable[int]) -> Problem:
    """The problem with every entry of argument `name` changed at these steps."""
    argument, value = network.arguments[name], problem.values[name].copy()
    slices: list[Any] = [slice(None)] * value.ndim
    slices[argument.time_axis or 0] = list(steps)
    index = tuple(slices)
    rng, old = np.random.default_rng(len(index)), value[index]
    if argument.below:
        value[index] = (old + 1) % argument.below.size(problem.sizes)
    elif argument.between:
        value[index] = (sum(argument.between) - old) * 0.75 + old * 0.25
    elif argument.of_normal:
        value[index] = argument.draw(rng, old.shape, problem.sizes)
    else:
        value[index] = old + (1 + rng.random(old.shape)) * (1 + np.abs(old).mean())
    value = value if argument.below else rounded(value, problem.dtype)
    value = laid_out_as(problem.values[name], value)
    return problem._replace(values={**problem.values, name: value})


def laid_out_as(old: Array, value: Array) -> Array:
    """The values in the memory layout of another array; if that repeats one, C-contiguous."""
    return value if 0 in old.strides else np.asarray(laid_out(value, old.strides))


def _applies(network: Network, its: Roles, condition: Condition) -> bool:
    """Whether a condition changes anything of this network."""
    timed = [a for a in network.arguments.values() if a.time_axis is not None and not a.has_domain]
    roles_of_timed, numbers = {a.role for a in timed}, {"float", "inputs"}
    parts = OF_BLOCKS[condition.fill][0] if condition.fill in OF_BLOCKS else ""
    wanted = (
        (condition.n_in, its.inputs),
        (condition.units, its.units),
        (condition.n_out, its.outputs),
        (condition.inputs != 1 or condition.fill == "inputs 0", roles_of_timed & numbers),
        (condition.losses != 1, roles_of_timed & {"targets", "upstream"}),
        (condition.fill == "bits", roles_of_timed & {*numbers, "targets"}),
        (condition.batch > _GENERAL.batch and not condition.fill, "batch" in network.axis_names),
        (parts, getattr(its, parts or "recurrent")),
    )
    always = condition.fill == "long memory" or (condition.n_in and condition.units)
    return bool(always) or all(found for is_wanted, found in wanted if is_wanted)


def _sizes(
    network: Network,
    its: Roles,
    condition: Condition,
    fixed: Mapping[str, int] | None,
    unit_axis: str = "",
) -> dict[str, int]:
    """Unequal sizes, unless they are `fixed` or wanted equal; `unit_axis` has size 1."""
    sizes = {"time": condition.time, "batch": condition.batch}
    for size, names in (
        (condition.n_in, its.inputs),
        (condition.units, its.units),
        (condition.n_out, its.outputs),
    ):
        sizes |= {name: size + i for i, name in enumerate(names) if size}
    free = (n for n in range(condition.width, 999) if n not in sizes.values())
    for name in network.axis_names:
        if name not in sizes:
            sizes[name] = condition.width if condition.fill == "equal sizes" else next(free)
    if unit_axis:
        sizes[unit_axis] = 1
    sizes |= dict(condition.sizes)
    found = _fitted(network, {name: sizes[name] for name in network.axis_names})
    return {**found, **(fixed or {})}


def _fitted(network: Network, sizes: Mapping[str, int]) -> dict[str, int]:
    """The nearest sizes that the axes may have."""
    return {n: network.fits[n](s) if n in network.fits else s for n, s in sizes.items()}


def _draw(
    network: Network, condition: Condition, sizes: dict[str, int], seed: int, dtype: str
) -> Problem:
    rng, values = np.random.default_rng(seed), dict[str, Array]()
    for name, argument in network.arguments.items():
        shape = argument.shape(sizes)
        if name in network.zeros:
            values[name] = np.zeros(shape)
        else:
            values[name] = argument.draw(rng, shape, sizes)
            if not (argument.below or argument.has_domain):
                values[name] = values[name] * _scale(argument, condition, shape)
    fill(Drawn(network, roles(network), sizes, values, rng), condition.fill)
    for name, value in values.items():
        argument = network.arguments[name]
        layout = condition.fill if argument.role == "upstream" or not network.outputs else ""
        value = value if argument.below else rounded(value, dtype)
        if argument.is_complex:
            entries = _with_layout(value.view(np.result_type(value, 1j))[..., 0], layout)
            parts = (*entries.strides, value.itemsize)
            values[name] = as_strided(entries.real, value.shape, parts)
        else:
            values[name] = _with_layout(value, layout)
    return Problem(condition.name, sizes, values, dtype)


def _scale(argument: Argument, condition: Condition, shape: tuple[int, ...]) -> float:
    if argument.role in ("targets", "upstream"):
        return condition.losses
    if argument.time_axis is not None:
        return condition.inputs
    return condition.weights / max(1.0, max(shape, default=1) / 8) ** 0.5  # no chaos if wide


def _with_layout(value: Array, fill: str) -> Array:
    """The array in the layout that `fill` names: Fortran order, strided, expanded, or unchanged."""
    if fill == "Fortran order":
        return np.asfortranarray(value)
    if fill == "expanded":  # as the upstream gradients of a sum are: one number, without strides
        return np.broadcast_to(value.ravel()[:1].reshape(()), value.shape)
    if fill == "strided" and value.ndim:
        larger = np.zeros([2 * size for size in value.shape], value.dtype)
        every_other: Array = larger[(slice(None, None, 2),) * value.ndim]
        every_other[...] = value
        return every_other
    return value
