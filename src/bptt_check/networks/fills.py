"""Special values of weights, inputs and targets, written into a drawn problem by role."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from bptt_check.networks.axes import Argument
from bptt_check.networks.network import Array, Network
from bptt_check.networks.roles import Part, Roles


class Drawn(NamedTuple):
    """A problem's values, to be changed in place."""

    network: Network
    roles: Roles
    sizes: Mapping[str, int]
    values: dict[str, Array]
    rng: np.random.Generator

    def blocks(self, parts: tuple[Part, ...]) -> Iterator[Array]:
        """Views of these parts of the weights, one for each gate."""
        for p in parts:
            argument, value = self.network.arguments[p.argument], self.values[p.argument]
            yield from p.blocks(argument, value, self.sizes)

    def of(self, *roles: str, timed: bool = False) -> Iterator[tuple[Argument, Array]]:
        """The arguments of these roles that no domain or 0 is declared for, and their values."""
        for name, value in self.values.items():
            argument = self.network.arguments[name]
            declared = argument.has_domain or name in self.network.zeros
            if (
                not declared
                and argument.role in roles
                and (argument.time_axis is not None or not timed)
            ):
                yield argument, value


def _small_input_weights(drawn: Drawn) -> None:
    for block in drawn.blocks(drawn.roles.of_inputs):
        block *= 1 / 300


def _inputs_0(drawn: Drawn) -> None:
    for _, value in drawn.of("float", "inputs", timed=True):
        value[...] = 0


def _weights_0(drawn: Drawn) -> None:
    for argument, value in drawn.of("float"):
        if argument.time_axis is None:
            value[...] = 0


def _some_zeros(drawn: Drawn) -> None:
    """Single entries, and all of a step that is neither the first nor the last; others are tiny."""
    for argument, value in drawn.of("float", "inputs", "targets", "upstream"):
        value *= drawn.rng.choice((0, 1e-12, 1), value.shape, p=(0.3, 0.2, 0.5))
        if argument.time_axis is not None:
            np.moveaxis(value, argument.time_axis, 0)[drawn.sizes["time"] // 2] = 0


def _bits(drawn: Drawn) -> None:
    for _, value in drawn.of("float", "inputs", "targets", timed=True):
        value[...] = drawn.rng.integers(0, 2, value.shape)


def _state_beyond_exp(block: Array) -> None:
    """One unit of each gate gets preactivations of several thousand, of either sign."""
    signs = 1 - 2 * (np.arange(block.shape[-2]) % 2)
    block[..., 0] = signs * (5000 + abs(block[..., 0]))


def _output_beyond_exp(block: Array) -> None:
    block[..., 0] = -4000 / block.shape[-2]
    block[..., 1:2] = 4000 / block.shape[-2]


def _times(factor: int | float) -> Callable[[Array], object]:
    return lambda block: np.multiply(block, factor, out=block)


def _diagonal(block: Array) -> None:
    block *= np.eye(block.shape[-1])


def _identity(block: Array) -> None:
    block[...] = np.eye(block.shape[-1])


#: By name, the fills of blocks: the parts of the weights, without which they change nothing.
OF_BLOCKS: dict[str, tuple[str, Callable[[Array], object]]] = {
    "input weights 0": ("of_inputs", _times(0)),
    "recurrent weights 0": ("recurrent", _times(0)),
    "output weights 0": ("of_outputs", _times(0)),
    "diagonal": ("recurrent", _diagonal),
    "identity": ("recurrent", _identity),
    "state beyond exp": ("of_inputs", _state_beyond_exp),
    "output beyond exp": ("of_outputs", _output_beyond_exp),
}


#: How much of its state a unit passes on to itself, and its bias: a tanh, a relu and a sigmoid
#: keep their errors with one of these each.
_MEMORIES = ((0.99, 0.0), (0.99, 0.5), (-5.8, 0.0))


def _long_memory(drawn: Drawn) -> None:
    """Errors neither vanish nor grow: units that remember, each for itself; small inputs.

    Of gates, each is open at a unit of its own. An input that is always 1 stands for the biases.
    """
    recurrent = list(drawn.blocks(drawn.roles.recurrent))
    for block in recurrent:
        block *= 0.01
        if len(recurrent) == 1:
            for unit, (kept, _) in enumerate(_MEMORIES[: block.shape[-1]]):
                block[..., unit, unit] = kept
    always = slice(None)  # of tokens, each
    for argument, value in drawn.of("float", "inputs", timed=True):
        for axis in argument.features[-1:]:
            np.moveaxis(value, axis, 0)[0] = 1
            always = slice(1)
    for gate, block in enumerate(drawn.blocks(drawn.roles.of_inputs)):
        block *= 0.01
        if len(recurrent) > 1:
            block[..., always, gate : gate + 1] += 4
        else:
            for unit, (_, bias) in enumerate(_MEMORIES[: block.shape[-1]]):
                block[..., always, unit] += bias
    for name in drawn.roles.biases:
        drawn.values[name] *= 0.01


#: Which unit vector or token each input is: of a generator, a shape (time first), how many there
#: are, and how many entries of a step share one.
Choice = Callable[[np.random.Generator, tuple[int, ...], int, int], Array]


def _one_hot(choose: Choice) -> Callable[[Drawn], None]:
    def fill(drawn: Drawn) -> None:
        for argument, value in drawn.of("float", "inputs", "tokens", timed=True):
            time = argument.time_axis or 0
            if argument.below:
                moved = np.moveaxis(value, time, 0)
                moved[...] = choose(drawn.rng, moved.shape, argument.below.size(drawn.sizes), 1)
            elif argument.features:
                moved = np.moveaxis(value, (time, argument.features[-1]), (0, -1))
                shape = moved.shape[:-1]
                chosen = choose(drawn.rng, shape, moved.shape[-1], int(np.prod(shape[1:])))
                moved[...] = np.arange(moved.shape[-1]) == chosen[..., np.newaxis]
            else:
                value[...] = 1

    return fill


def _own(rng: np.random.Generator, shape: tuple[int, ...], count: int, shared: int) -> Array:
    return (np.arange(np.prod(shape)) // shared % count).reshape(shape)


def _same(rng: np.random.Generator, shape: tuple[int, ...], count: int, shared: int) -> Array:
    return np.zeros(shape, int)


def _again(rng: np.random.Generator, shape: tuple[int, ...], count: int, shared: int) -> Array:
    """Fewer inputs than examples: two examples of a step share one, and so do two steps."""
    return rng.integers(0, max(1, count - 1), shape)


#: By the name of a `Condition`'s fill.
FILLS: dict[str, Callable[[Drawn], None]] = {
    "own inputs": _one_hot(_own),
    "same inputs": _one_hot(_same),
    "inputs again": _one_hot(_again),
    "bits": _bits,
    "some zeros": _some_zeros,
    "inputs 0": _inputs_0,
    "weights 0": _weights_0,
    "small input weights": _small_input_weights,
    "long memory": _long_memory,
}


def fill(drawn: Drawn, name: str) -> None:
    """Write the values that a fill of this name has, if it has any."""
    if name in FILLS:
        FILLS[name](drawn)
    elif name in OF_BLOCKS:
        parts, change = OF_BLOCKS[name]
        for block in drawn.blocks(getattr(drawn.roles, parts)):
            change(block)
