"""Other targets than addition that a network can be proved to compute."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adders import TARGETS
from rnn_numpy import Params
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import Proved, minimise
from rnn_numpy.tasks.addition import encode, from_bits
from rnn_numpy.tasks.targets import (
    Target,
    addition,
    by_name,
    comparison,
    multiplication,
    subtraction,
)


def by_hand(target: Target) -> Params:
    """Networks with weights set by hand: 40 saturates the sigmoid."""
    if target is comparison:  # greater, not greater; both 1/2 until the first bit that differs
        W = np.array([[20.0, -20], [-20, 20]])
        return Params(np.array([[40.0, -40], [-40, 40]]), W, np.array([[1], [-1.2]]))
    # Twice a: say what a was a step ago. Units: a, what that was, and a constant 1/2.
    U, V = np.array([[40.0, 0, 0]]), np.array([[0], [1], [-1.2]])
    W = np.array([[0, 40.0, 0], [0, 0, 0], [0, -60, 0]])
    return Params(U, W, V)


@pytest.mark.parametrize("target", [comparison, multiplication(2)], ids=lambda t: t.name)
def test_other_targets_are_proved(target: Target) -> None:
    verdict = explore(by_hand(target), 2, target)
    assert isinstance(verdict, Proved), verdict
    minimal = minimise(verdict.machine)
    np.testing.assert_array_equal(minimal.next, target.next)
    np.testing.assert_array_equal(minimal.output, target.output)


@given(
    a=st.integers(0, 2**40), b=st.integers(0, 2**40), factor=st.integers(1, 256), bits=st.just(50)
)
def test_targets_are_arithmetic(a: int, b: int, factor: int, bits: int) -> None:
    both = (encode([a], [b], bits)[0][:, 0] * (1, 2)).sum(axis=1).astype(int)

    def result(target: Target, numbers: np.ndarray) -> int:
        return from_bits(target.run(numbers)[:, np.newaxis])[0]

    assert result(addition, both) == a + b
    assert result(subtraction, both) == (a - b) % 2**bits
    assert result(multiplication(factor), both & 1) == factor * a % 2**bits
    assert comparison.run(both)[-1] == (a > b)


@pytest.mark.parametrize("name", ["", "adding", "multiplication:", "multiplication:0",
                                  "multiplication:257", "multiplication:-1"])  # fmt: skip
def test_no_such_target(name: str) -> None:
    with pytest.raises(ValueError, match=r"target must be addition, |factor must be 1 to 256"):
        by_name(name)


def test_names_of_targets() -> None:
    for target in TARGETS:
        assert by_name(target.name).name == target.name
