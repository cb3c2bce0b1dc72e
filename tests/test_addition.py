"""The task: integers to bits and back for any width, and counting exact sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import Array
from rnn_numpy.addition import (
    all_pairs,
    count_exact,
    decode,
    encode,
    from_bits,
    random_example,
    to_bits,
)

pytestmark = pytest.mark.unannotated

widths = st.integers(1, 300)


@given(widths.flatmap(lambda w: st.tuples(st.just(w), st.lists(st.integers(0, 2**w - 1)))))
def test_round_trip(drawn: tuple[int, list[int]]) -> None:
    width, integers = drawn
    bits = to_bits(integers, width)
    assert bits.shape == (width, len(integers))
    assert from_bits(bits) == integers
    # Least significant first, by an independent route.
    for column, integer in zip(bits.T, integers, strict=True):
        assert "".join(map(str, column[::-1])) == f"{integer:0{width}b}"


@given(widths.flatmap(lambda w: st.tuples(st.just(w + 1), *[st.integers(0, 2**w - 1)] * 2)))
def test_the_target_is_the_sum(drawn: tuple[int, int, int]) -> None:
    bits, a, b = drawn
    x, y = encode([a], [b], bits)
    assert (x.shape, y.shape) == ((bits, 1, 2), (bits, 1, 1))
    assert from_bits(x[..., 0]) == [a]
    assert from_bits(x[..., 1]) == [b]
    assert decode(y) == [a + b]


@given(st.integers(-(2**70), -1))
def test_negative_operands_are_refused(integer: int) -> None:
    with pytest.raises(ValueError, match=rf"operands must be 0 to 2\^8 - 1 .* got {integer}"):
        to_bits([integer], 8)


@given(st.integers(1, 100), st.integers(0, 2**70))
def test_too_wide_operands_are_refused(width: int, more: int) -> None:
    with pytest.raises(ValueError, match=f"to fit {width} bits"):
        to_bits([2**width + more], width)


@pytest.mark.parametrize("operand", [1.0, "1", None, np.float64(3), float("nan"), 1 + 0j])
def test_non_integer_operands_are_refused(operand: object) -> None:
    with pytest.raises(TypeError, match="operands must be integers"):
        to_bits([operand], 8)  # type: ignore[list-item]


def test_other_bad_input() -> None:
    with pytest.raises(ValueError, match="width must be at least 1"):
        to_bits([0], 0)
    with pytest.raises(ValueError, match=r"bits must be \(width, count\), got \(3,\)"):
        from_bits([0, 1, 0])
    with pytest.raises(ValueError, match="bits must be 0 or 1"):
        from_bits([[0.5]])
    with pytest.raises(ValueError, match="equally many operands, got 2 and 1"):
        encode([1, 2], [3], 8)
    with pytest.raises(ValueError, match="to fit 8 bits, got 256"):
        encode([255], [1], 8)  # a sum that overflows


@given(st.integers(0, 2**32 - 1), st.integers(1, 64))
def test_random_examples_are_the_recipes_draws(seed: int, bits: int) -> None:
    rng, same = np.random.RandomState(seed), np.random.RandomState(seed)
    for _ in range(3):
        a, b, x, y = random_example(rng, bits)
        assert (a, b) == (same.randint(2 ** (bits - 1)), same.randint(2 ** (bits - 1)))
        assert decode(y) == [a + b]
        assert from_bits(x[..., 0]) == [a]


@pytest.mark.parametrize("bits", range(1, 8))
def test_all_pairs_are_all_pairs(bits: int) -> None:
    seen: list[tuple[int, int]] = []
    for x, y in all_pairs(bits, most=1000):
        a, b = from_bits(x[..., 0]), from_bits(x[..., 1])
        seen += zip(a, b, strict=True)
        assert decode(y) == [i + j for i, j in seen[-len(a) :]]
    half = range(2 ** (bits - 1))
    assert seen == [(a, b) for a in half for b in half]


def adder(x: Array) -> Array:
    """Adds as a network would, bit by bit; gives outputs near 0 and 1."""
    carry = np.zeros(x.shape[1:2])
    outputs = []
    for a, b in x.transpose(0, 2, 1):
        total = a + b + carry
        outputs.append(0.1 + 0.8 * (total % 2))
        carry = total // 2
    return np.stack(outputs)[..., np.newaxis]


def without_carry(x: Array) -> Array:
    return x.sum(axis=2, keepdims=True) % 2


def test_count_exact_tries_every_sum() -> None:
    assert count_exact(adder, 8) == (16384, 16384, True)
    # Without a carry, right where a & b == 0: 3 of 4 pairs of bits.
    assert count_exact(without_carry, 8) == (3**7, 16384, True)
    assert count_exact(lambda x: np.full((*x.shape[:2], 1), np.nan), 5) == (1, 256, True)


@pytest.mark.parametrize("bits", [13, 64, 200])
def test_too_many_sums_are_sampled(bits: int) -> None:
    progress: list[int] = []
    count = count_exact(adder, bits, sample=10_000, on_progress=progress.append)
    assert count == (10_000, 10_000, False)
    assert sum(progress) == 10_000
    assert count_exact(without_carry, bits, sample=10_000).exact < 1000
