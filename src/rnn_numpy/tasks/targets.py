"""Target functions of networks over bits, as Mealy machines: finite state, one output a step.

All read their operands least significant bit first, so that a finite state suffices for any
length: a carry for a sum, a borrow for a difference, the higher digits for a multiple.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from rnn_numpy.elman_network.params import Params

#: Largest factor: serial multiplication needs a state for every carry.
MOST_FACTOR = 256
Step = Callable[..., tuple[int, int]]


class Target(NamedTuple):
    """A Mealy machine over bits: starting in state 0, it reads one bit of each operand a step.

    The input with operand bits x_0, x_1, ... has the number `x_0 + 2 x_1 + ...`.
    """

    name: str
    #: Format of a result's text; the operands replace the braces.
    text: str
    operands: int
    #: next[state, input] is the next state.
    next: Int64[np.ndarray, "states inputs"]
    #: output[state, input] is the right output bit.
    output: UInt8[np.ndarray, "states inputs"]
    #: Number of steps with all operands 0 that output the rest of the state.
    flush: int

    def bits(self, inputs: Int64[np.ndarray, "*axes"]) -> Int64[np.ndarray, "*axes operands"]:
        """The operands' bits of numbered inputs, first operand first."""
        return inputs[..., np.newaxis] >> np.arange(self.operands) & 1

    def run(
        self, inputs: Int64[np.ndarray, "steps *sequences"]
    ) -> UInt8[np.ndarray, "steps *sequences"]:
        """The right output bits for these inputs."""
        return np.asarray(self.output[self.states(inputs)[:-1], inputs])

    def states(
        self, inputs: Int64[np.ndarray, "steps *sequences"]
    ) -> Int64[np.ndarray, "steps+1 *sequences"]:
        """The states before the first of these inputs, which is 0, and after each of them."""
        states = np.zeros((len(inputs) + 1, *inputs.shape[1:]), np.int64)
        for t, number in enumerate(inputs):
            states[t + 1] = self.next[states[t], number]
        return states


def _target(name: str, text: str, operands: int, states: int, step: Step, flush: int) -> Target:
    """Tabulate `step`, from a state and a bit of each operand to an output and the next state."""
    inputs = [[number >> j & 1 for j in range(operands)] for number in range(2**operands)]
    table = np.array([[step(state, *bits) for bits in inputs] for state in range(states)], np.int64)
    return Target(name, text, operands, table[..., 1], table[..., 0].astype(np.uint8), flush)


def _serial(total: int) -> tuple[int, int]:
    """The digit of a sum, and what is carried."""
    return total & 1, abs(total >> 1)


addition = _target("addition", "{} + {}", 2, 2, lambda carry, a, b: _serial(a + b + carry), 1)
subtraction = _target(
    "subtraction", "{} - {} (modulo 2^n, n bits)", 2, 2,
    lambda borrow, a, b: _serial(a - b - borrow), 0,
)  # fmt: skip
#: After each step: whether a > b, in the bits read so far; the highest that differs comes last.
comparison = _target(
    "comparison", "{} > {} (after each bit)", 2, 2,
    lambda greater, a, b: (greater, greater) if a == b else (a, a), 0,
)  # fmt: skip


def multiplication(factor: int) -> Target:
    """The multiple of one operand by a constant; ValueError unless that is 1 to 256."""
    if not 1 <= factor <= MOST_FACTOR:
        raise ValueError(f"factor must be 1 to {MOST_FACTOR}, got {factor}")
    return _target(
        f"multiplication:{factor}", f"{factor} * {{}}", 1, factor,
        lambda carry, a: _serial(factor * a + carry), factor.bit_length(),
    )  # fmt: skip


def by_name(name: str) -> Target:
    """The target of this name, multiplication:FACTOR included; ValueError if there is none."""
    fixed = {target.name: target for target in (addition, subtraction, comparison)}
    if name in fixed:
        return fixed[name]
    kind, _, factor = name.partition(":")
    if kind == "multiplication" and factor.isascii() and factor.isdigit():
        return multiplication(int(factor))
    raise ValueError(f"target must be {', '.join(fixed)} or multiplication:FACTOR, got {name!r}")


def check_fits(target: Target, params: Params) -> None:
    """Raise ValueError unless the network has an input for each operand, and one output."""
    wanted, got = (target.operands, 1), (len(params.U), params.V.shape[1])
    if wanted != got:
        raise ValueError(
            f"{target.name} needs {wanted[0]} inputs and 1 output, "
            f"these weights have {got[0]} and {got[1]}"
        )
