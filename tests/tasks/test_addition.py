"""The task: integers to bits and back, for any width; counting exact sums."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import Array
from rnn_numpy.tasks.addition import decode, draw_pairs, encode, encode_pairs, from_bits, to_bits
from rnn_numpy.tasks.exact_sums import count_exact

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


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda: to_bits([-(2**70)], 8), r"operands must be 0 to 2\^8 - 1 .* got -11805916"),
        (lambda: to_bits([3, 256], 8), "to fit 8 bits, got 256"),
        (lambda: to_bits(np.array([1.0]), 8), "operands must be integers, got .*1.0"),
        (lambda: to_bits("1", 8), "operands must be integers, got '1'"),  # type: ignore[arg-type]
        (lambda: to_bits([0], 0), "width must be at least 1"),
        (lambda: from_bits([0, 1, 0]), r"bits must be \(width, count\), got \(3,\)"),
        (lambda: from_bits([[0.5]]), "bits must be 0 or 1"),
        (lambda: encode([1, 2], [3], 8), "equal lengths, got 2 and 1"),
        (lambda: encode([255], [1], 8), "to fit 8 bits, got 256"),  # a sum that overflows
    ],
)
def test_bad_input(convert: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        convert()


@given(st.integers(0, 2**32 - 1), st.integers(1, 64), st.integers(1, 5), st.integers(1, 5))
def test_pairs_are_drawn_as_in_the_recipe(seed: int, bits: int, steps: int, more: int) -> None:
    """The same numbers as single draws in a script, for any number of pairs in a call."""
    rng, same = np.random.RandomState(seed), np.random.RandomState(seed)
    drawn = np.concatenate([draw_pairs(rng, bits, count) for count in (steps, more)])
    for a, b in drawn:
        assert a == same.randint(2 ** (bits - 1), dtype=np.int64)
        assert b == same.randint(2 ** (bits - 1), dtype=np.int64)


@given(st.integers(1, 64), st.sampled_from(["float32", "float64"]), st.data())
def test_encode_pairs_equals_encode(bits: int, dtype: str, data: st.DataObject) -> None:
    operands = st.integers(0, 2 ** (bits - 1) - 1)
    drawn = data.draw(st.lists(st.tuples(operands, operands), min_size=1, max_size=4))
    x, y = encode_pairs(np.array(drawn, np.int64), bits, dtype)
    a, b = zip(*drawn, strict=True)
    for one, other in zip((x, y), encode(a, b, bits, dtype), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def adder(h: Array, x: Array) -> tuple[Array, Array]:
    """An adder in the form of a network, with the carry as its state and outputs near 0 and 1."""
    total = x[0].sum(axis=1) + h[:, 0]
    return 0.1 + 0.8 * (total % 2)[np.newaxis, :, np.newaxis], (total // 2)[:, np.newaxis]


def without_carry(h: Array, x: Array) -> tuple[Array, Array]:
    return x.sum(axis=2, keepdims=True) % 2, h


def says_nothing(h: Array, x: Array) -> tuple[Array, Array]:
    return np.full((1, len(h), 1), np.nan), h


@pytest.mark.parametrize("most", [1, 7, 1 << 14])
def test_count_exact_tries_every_sum(most: int) -> None:
    tried: list[int] = []
    count = functools.partial(count_exact, hidden=1, most=most, on_progress=tried.append)
    for advance, bits, expected in (
        (adder, 5, 256),
        # Without a carry, right where a & b == 0: 3 of 4 pairs of bits.
        (without_carry, 5, 3**4),
        (says_nothing, 5, 1),
        (adder, 1, 1),
    ):
        tried.clear()
        assert count(advance, bits=bits) == (expected, 4 ** (bits - 1), True)
        assert sum(tried) == 4 ** (bits - 1)


def test_prefixes_are_shared() -> None:
    updates: list[int] = []

    def counted(h: Array, x: Array) -> tuple[Array, Array]:
        updates.append(len(h))
        return adder(h, x)

    assert count_exact(counted, 1, 8) == (16384, 16384, True)
    assert sum(updates) == sum(4**t for t in range(1, 8)) + 4**7 == 38_228


@pytest.mark.parametrize("bits", [13, 64, 200])
def test_too_many_sums_are_sampled(bits: int) -> None:
    tried: list[int] = []
    count = count_exact(adder, 1, bits, sample=10_000, most=999, on_progress=tried.append)
    assert count == (10_000, 10_000, False)
    assert sum(tried) == 10_000
    assert count_exact(without_carry, 1, bits, sample=10_000).exact < 1000
