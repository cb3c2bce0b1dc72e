"""The network with a b-bit state as a finite machine: its table, minimised; its runs, replayed.

`explore.py` builds the machine and decides whether it computes the target. What is proved,
and what has to be trusted: docs/rounded-proof.md.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64, UInt8

from rnn_numpy.elman_network.model import forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.tasks.addition import from_bits
from rnn_numpy.tasks.targets import Target


class Table:
    """Columns that grow together; `rows` are the first."""

    def __init__(self, **rows: np.ndarray) -> None:
        self._columns, self._count = rows, len(next(iter(rows.values())))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][: self._count]

    def append(self, count: int, **rows: Any) -> None:
        """Add so many rows; a row's column that is not given is as that of the first row."""
        before, self._count = self._count, self._count + count
        for name, column in self._columns.items():
            if len(column) < self._count:
                more = np.empty((2 * self._count - len(column), *column.shape[1:]), column.dtype)
                self._columns[name] = column = np.concatenate([column, more])
            column[before : self._count] = rows.get(name, column[0])


class Machine(NamedTuple):
    """The part that was explored; entry 0 of each is the beginning, h_0 = 0."""

    #: h in units of 2^-b.
    levels: Any  # UInt["states hidden"], as narrow as they fit
    #: The target's state.
    task: Int[np.ndarray, " states"]
    #: The network's output bit in this state; meaningless in the initial state.
    output: UInt8[np.ndarray, " states"]
    #: Where each input leads; -1 where that was not explored.
    next: Int[np.ndarray, "states inputs"]
    #: (state, input, other successor), where a tie leaves open which neighbour is right.
    branches: Int64[np.ndarray, "branches 3"]


@dataclass(frozen=True)
class _Explored:
    """What the exploration found."""

    state_bits: int
    target: Target
    #: Distinct states found.
    states: int
    #: Steps from the beginning to the last state found; every shorter input was tried.
    depth: int
    #: The smallest distance of an output from 1/2, and how far rounding can move one.
    margin: float
    margin_error: float
    #: The smallest distance of a value from a rounding tie, and how far rounding can move one.
    tie_distance: float
    tie_error: float
    machine: Machine


@dataclass(frozen=True)
class Proved(_Explored):
    """Every output is right, in every evaluation."""

    status: ClassVar = "proved"


class Example(NamedTuple):
    """A result that the network gets wrong."""

    operands: list[int]
    said: int
    right: int
    steps: int


@dataclass(frozen=True)
class Refuted(_Explored):
    """The last output of the example is wrong, in every evaluation."""

    status: ClassVar = "refuted"
    example: Example


#: Rounding errors exceed the steps of the state; more states than the limit; whether an output is
#: right depends on a tie.
Reason = Literal["rounding", "limit", "tie"]


@dataclass(frozen=True)
class GaveUp(_Explored):
    """Neither was found."""

    status: ClassVar = "gave up"
    reasons: tuple[Reason, ...]
    limit: int


Verdict = Proved | Refuted | GaveUp


class Minimal(NamedTuple):
    """The smallest machine that says the same; it begins in state 0."""

    #: Which of its states each explored state is.
    classes: Int64[np.ndarray, " explored"]
    next: Int64[np.ndarray, "states inputs"]
    #: The bit said on the way.
    output: UInt8[np.ndarray, "states inputs"]


def minimise(machine: Machine) -> Minimal:
    """Merge the states that no input tells apart: Moore's partition refinement.

    A state is like another if it says the same after each input. States are numbered in the order
    in which they are reached. ValueError for a machine that was not explored to the end.
    """
    if (machine.next < 0).any():
        raise ValueError("machine must be explored to the end: pass that of a proved verdict")
    said = machine.output[machine.next]
    classes, count = np.zeros(len(said), np.int64), 0
    while True:
        for column in (*said.T, *classes[machine.next].T):
            _, classes = np.unique(classes * (count + 2) + column, return_inverse=True)
        if classes.max() + 1 == count:
            break
        count = int(classes.max()) + 1
    source, number, other = machine.branches.T
    if (classes[other] != classes[machine.next[source, number]]).any():
        raise ValueError("machine must say the same whichever neighbour of a tie is taken")
    first = np.sort(np.unique(classes, return_index=True)[1])
    names = np.empty(count, np.int64)
    names[classes[first]] = np.arange(count)
    return Minimal(names[classes], names[classes[machine.next[first]]], said[first])


def run_example(
    params: Params,
    target: Target,
    inputs: Int64[np.ndarray, " steps"],
    state_bits: int | None = None,
) -> Example:
    """Run the network on these inputs, until all of its result is out."""
    inputs = np.concatenate([inputs, np.zeros(target.flush, np.int64)])
    bits = target.bits(inputs)
    x = bits[:, np.newaxis].astype(params.W.dtype)
    if state_bits is None:
        outputs, _ = forward(params, x)
    else:
        outputs, _ = run_rounded(params, x, state_bits)
    (said,) = from_bits(outputs[..., 0] > 0.5)
    (right,) = from_bits(target.run(inputs)[:, np.newaxis])
    return Example(from_bits(bits), said, right, len(inputs))


def run_rounded(
    params: Params, x: Float[np.ndarray, "time batch n_in"], state_bits: int
) -> tuple[Float[np.ndarray, "time batch n_out"], Float[np.ndarray, "time batch hidden"]]:
    """The outputs and the states of a network whose every state is rounded before it is used."""
    h, states = None, []
    for x_t in x:
        _, trace = forward(params, x_t[np.newaxis], h)
        h = np.rint(trace.states[1] * 2**state_bits) / 2**state_bits
        states.append(h)
    stacked = np.stack(states)
    return 1 / (1 + np.exp(-(stacked @ params.V))), stacked
