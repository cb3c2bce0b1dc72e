"""The roles of a network's weights, read from their axes: recurrent, of the inputs, of the outputs.

A name that two axes of one weight share, as in `hidden 4*hidden`, is that of the units. A weight
may have several roles: of `hidden+n_in hidden`, the first rows are recurrent.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bptt_check.networks.axes import Argument, Axis
from bptt_check.networks.network import Array, Network

_RESERVED = {"time", "batch"}


class Part(NamedTuple):
    """The entries of a weight where two names meet: `rows` on one axis, `columns` on another."""

    argument: str
    axes: tuple[int, int]
    rows: str
    columns: str

    def with_rows(self, name: str) -> "Part":
        """The same entries, with this name's axis as rows."""
        return self if self.rows == name else Part(self.argument, self.axes[::-1], name, self.rows)

    def blocks(self, argument: Argument, value: Array, sizes: Mapping[str, int]) -> Iterator[Array]:
        """A view for each gate, with the rows and the columns as its last two axes."""
        moved = np.moveaxis(value, self.axes, (-2, -1))
        for rows in _places(argument.axes[self.axes[0]], self.rows, sizes):
            for columns in _places(argument.axes[self.axes[1]], self.columns, sizes):
                yield moved[..., rows, columns]


class Roles(NamedTuple):
    """The parts of the weights, the biases, and the axis names of inputs, units and outputs."""

    recurrent: tuple[Part, ...]
    of_inputs: tuple[Part, ...]
    of_outputs: tuple[Part, ...]
    biases: tuple[str, ...]
    inputs: tuple[str, ...]
    units: tuple[str, ...]
    outputs: tuple[str, ...]


def roles(network: Network) -> Roles:
    """The roles of the weights: of float arguments that have no axis `time` or `batch`."""
    weights = {
        n: a
        for n, a in network.arguments.items()
        if n in network.differentiated and not _RESERVED & set(a.names)
    }
    pairs = [pair for name, argument in weights.items() for pair in _pairs(name, argument)]
    recurrent = tuple(p for p in pairs if p.rows == p.columns)
    units: dict[str, None] = dict.fromkeys(p.rows for p in recurrent)
    features = _features(network, pairs, units)
    of_inputs, of_outputs, directions = [], [], dict[frozenset[str], str]()
    for p in pairs:
        if (p.rows in units) == (p.columns in units):
            continue
        feature, unit = (p.columns, p.rows) if p.rows in units else (p.rows, p.columns)
        first = directions.setdefault(frozenset((p.rows, p.columns)), p.rows)
        if feature in features and first == p.rows:
            of_inputs.append(p.with_rows(feature))
        else:
            of_outputs.append(p.with_rows(unit))
    known = {*_RESERVED, *units, *features}
    biases = [n for n, a in weights.items() if len(_named(a)) == 1]
    return Roles(
        recurrent,
        tuple(of_inputs),
        tuple(of_outputs),
        tuple(biases),
        tuple(n for n in features if n not in units),
        tuple(units),
        tuple(n for n in network.axis_names if n not in known),
    )


def _features(network: Network, pairs: list[Part], units: Mapping[str, None]) -> dict[str, None]:
    """The axis names of the inputs' features; of tokens alone, that of their embedding, if any."""
    timed = [a for a in network.arguments.values() if a.time_axis is not None]
    names = [n for a in timed if a.is_number for n in a.names if n not in _RESERVED]
    below = [a.below.names for a in timed if a.below and not _RESERVED & set(a.below.names)]
    if names or not below:
        return dict.fromkeys(names)
    embedded = [p.columns for p in pairs if p.rows in below[0] and p.columns not in units]
    return dict.fromkeys(embedded or below[0])


def _named(argument: Argument) -> list[int]:
    return [i for i, axis in enumerate(argument.axes) if axis.names]


def _pairs(name: str, argument: Argument) -> Iterator[Part]:
    for i, j in combinations(_named(argument), 2):
        for rows in dict.fromkeys(argument.axes[i].names):
            for columns in dict.fromkeys(argument.axes[j].names):
                yield Part(name, (i, j), rows, columns)


def _places(axis: Axis, name: str, sizes: Mapping[str, int]) -> Iterator[slice]:
    """Where the blocks of this name lie on an axis."""
    start = 0
    for factor, term in axis.terms:
        size = sizes[term] if term else 1
        for _ in range(factor):
            if term == name:
                yield slice(start, start + size)
            start += size
