"""Declare a layer: a generator in torch that yields the outputs of each step.

    @layer(q="batch time heads K", k="batch time heads K", v="batch time heads V",
           g=log_gate("batch time heads"), h0="batch heads K V",
           returns={"o": "batch time heads V", "ht": "batch heads K V"})
    def simple_gla(q, k, v, g, h0):
        S = h0
        for t in range(q.shape[1]):
            S = g[:, t, :, None, None].exp() * S + k[:, t, :, :, None] * v[:, t, :, None, :]
            yield (q[:, t, :, None] @ S)[:, :, 0]
        return S

A layer with its upstream gradients is a network, whose loss of a step is the sum of the products of
the step's outputs and their upstream gradients; the last one has those of the final state, too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bptt_check.networks import Argument, Condition, Network, floats, network, upstream


class Fitting(NamedTuple):
    """The sizes of an axis that are asked, and the nearest size to another that it may have."""

    asked: tuple[int, ...]
    fit: Callable[[int], int]


#: The sizes that an axis may have, as they are declared.
Sizes = int | Sequence[int] | Fitting


def chunks(c: int) -> Fitting:
    """Any size, for a layer that computes in chunks of c: also one below, at and above a chunk."""
    asked = (1, 2, c - 1, c, c + 1, 2 * c, 2 * c + 1)
    return Fitting(tuple(dict.fromkeys(n for n in asked if n > 0)), lambda n: n)


def multiples_of(n: int) -> Fitting:
    """Multiples of n alone."""
    return Fitting((n, 2 * n, 3 * n), lambda size: -(-size // n) * n)


def power_of_two(n: int) -> Fitting:
    """Powers of two from n on alone."""
    return Fitting((n, 2 * n), lambda size: max(n, 1 << (size - 1).bit_length()))


def _fitting(sizes: Sizes) -> Fitting:
    if isinstance(sizes, Fitting):
        return sizes
    known = (sizes,) if isinstance(sizes, int) else tuple(sorted(sizes))
    return Fitting(known, lambda n: next((s for s in known if s >= n), known[-1]))


def log_gate(axes: str) -> Argument:
    """The logarithms of gates, which mostly keep: at most 0."""
    return floats(axes, of_normal=lambda z: -np.logaddexp(0, -2 * z - 3))


def gate(axes: str) -> Argument:
    """Gates: numbers between 0 and 1."""
    return floats(axes, of_normal=lambda z: 1 / (1 + np.exp(-z)))


def positive(axes: str) -> Argument:
    """Numbers above 0, such as step sizes."""
    return floats(axes, of_normal=lambda z: np.logaddexp(0, z))


def unit_vectors(axes: str) -> Argument:
    """Vectors of length 1 along the last axis, such as the keys of a delta rule."""
    return floats(axes, of_normal=lambda z: z / np.linalg.norm(z, axis=-1, keepdims=True))


def complex_numbers(
    axes: str, of_normal: Callable[[np.ndarray], np.ndarray] | None = None
) -> Argument:
    """Complex numbers, also in `returns`; complex64 for float32, complex128 for float64.

    Their gradient is torch's: of the real part, plus i times that of the imaginary part. In a
    report it has a last axis of 2, the two parts, and so have the numbers that `of_normal` gets.
    """
    return replace(floats(f"{axes} 2", of_normal=of_normal), is_complex=True)


def layer(
    *,
    returns: Mapping[str, str | Argument],
    sizes: Mapping[str, Sizes] | None = None,
    **marks: str | Argument,
) -> Callable[[Callable[..., Any]], Network]:
    """Declare a layer, for `check_layer`.

    Args:
        returns: the axes of what it yields at each step (with the axis time), in order, and then of
            what it returns at the end, its final states (without); or `complex_numbers(axes)`.
        sizes: for an axis, the sizes that it may have: `chunks(c)`, `multiples_of(n)`,
            `power_of_two(n)`, a number or several.
        marks: the axes of each argument, or a mark of `bptt_check.networks` or of this room.

    Raises:
        TypeError: the function has no yield.
        ValueError: as `network`; or no output has the axis time, or a size is of no axis.
    """
    upstreams = {
        f"d{name}": upstream(its) if isinstance(its, str) else replace(its, role="upstream")
        for name, its in returns.items()
    }
    outputs = {f"d{name}": name for name in returns}
    timed = {n: a.time_axis for n, a in upstreams.items() if a.time_axis is not None}
    finals = [n for n in upstreams if n not in timed]
    if not timed or [*upstreams] != [*timed, *finals]:
        raise ValueError(
            "returns must name the outputs, which have the axis time, and then the final states, "
            f"got {dict(returns)}"
        )

    def declare(function: Callable[..., Any]) -> Network:
        def losses(**tensors: Tensor) -> Iterator[Tensor]:
            upstream_of = {name: tensors.pop(name) for name in upstreams}
            for name in [n for n in tensors if own.arguments[n].is_complex]:
                tensors[name] = torch.view_as_complex(tensors[name])
            one = next(iter(timed))
            steps, run = upstream_of[one].shape[timed[one]], function(**tensors)
            for step, outputs in enumerate(run):
                at_step = {n: upstream_of[n].select(axis, step) for n, axis in timed.items()}
                products = _products(function, at_step, outputs)
                if finals and step == steps - 1:
                    last = {n: upstream_of[n] for n in finals}
                    products += _products(function, last, _returned(function, run))
                yield sum(products[1:], products[0])

        own = network(**marks)(function)  # raises unless it names the arguments
        losses.__name__ = own.name
        found = network(**own.arguments, **upstreams)(losses)
        vars(losses)["__wrapped__"] = function  # whose lines an error cites
        fitting = {axis: _fitting(its) for axis, its in (sizes or {}).items()}
        if unknown := [axis for axis in fitting if axis not in found.axis_names]:
            names = ", ".join(found.axis_names)
            raise ValueError(f"sizes must be of axes among {names}, got {', '.join(unknown)}")
        fits = {axis: its.fit for axis, its in fitting.items()}
        return as_layer(replace(found, fits=fits), outputs, fitting)

    return declare


def as_layer(
    found: Network,
    outputs: Mapping[str, str] | None = None,
    sizes: Mapping[str, Fitting] | None = None,
) -> Network:
    """A network whose losses are products of outputs and upstream gradients, as a layer.

    Args:
        found: the network.
        outputs: for each upstream gradient, the name of what it is of; if left out, the gradient's.
        sizes: the sizes that are asked of some axes.

    Raises:
        ValueError: no argument of the network is an upstream gradient.
    """
    named = outputs or {n: f"the output of {n}" for n in _upstreams(found)}
    if not named:
        raise ValueError(f"{found.name} must have upstream gradients: it has a loss of its own")
    return replace(found, outputs=named, conditions=tuple(_conditions(found, sizes or {})))


def _upstreams(of: Network) -> list[str]:
    return [n for n, a in of.arguments.items() if a.role == "upstream"]


#: Sizes of the time axis that are asked if none are declared.
_STEPS = Fitting((1, 2, 3, 17, 33), lambda n: n)


def _conditions(of: Network, sizes: Mapping[str, Fitting]) -> Iterator[Condition]:
    """The conditions of a layer's problems: fewer than of a network, since kernels are slow."""
    yield Condition("general", time=6)
    yield Condition("one x", time=5, batch=2)
    yield Condition("zeros and tiny numbers", time=5, fill="some zeros")
    yield Condition("inputs of 10", time=3, batch=2, inputs=10.0)
    yield Condition("weights of 3", batch=2, weights=3.0)
    yield Condition("upstream of 3000", time=3, batch=2, losses=3000.0)
    yield Condition("upstream in Fortran order", time=5, batch=2, fill="Fortran order")
    yield Condition("upstream expanded", time=5, batch=2, fill="expanded")
    asked = {axis: its.asked for axis, its in {"time": _STEPS, **sizes}.items()}
    for number in range(max(map(len, asked.values()))):
        its = tuple((axis, of_axis[number % len(of_axis)]) for axis, of_axis in asked.items())
        name = ", ".join(f"{axis} {size}" for axis, size in its)
        yield Condition(name, batch=2, width=3, weights=0.5, sizes=its)


def _products(function: Any, upstreams: Mapping[str, Tensor], outputs: Any) -> list[Tensor]:
    """The products of outputs and their upstream gradients, each summed over its entries."""
    several = outputs if isinstance(outputs, tuple | list) else (outputs,)
    given = [torch.view_as_real(g) if _is_complex(g) else g for g in several]
    names = [name.removeprefix("d") for name in upstreams]
    shapes = [tuple(g.shape) if isinstance(g, Tensor) else repr(g) for g in given]
    wanted = [tuple(u.shape) for u in upstreams.values()]
    if shapes != wanted:
        said = ", ".join(f"{n} {shape}" for n, shape in zip(names, wanted, strict=True))
        raise ValueError(
            f"{getattr(function, '__name__', 'it')} must give {said}, as its returns say, got "
            f"{', '.join(map(str, shapes))}"
        )
    return [(o * u).sum() for o, u in zip(given, upstreams.values(), strict=True)]


def _is_complex(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_complex()


def _returned(function: Any, run: Iterator[Any]) -> Any:
    """What a generator returns after its last step."""
    try:
        next(run)
    except StopIteration as end:
        return end.value
    raise ValueError(f"{getattr(function, '__name__', 'it')} yields more steps than there are")
