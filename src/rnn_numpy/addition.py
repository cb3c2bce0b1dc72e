"""The task: add two integers bit by bit, least significant bit first, as a schoolbook carry does.

A network sees the bits a_t, b_t at step t and must give bit t of a + b; the carry is its to learn.
Operands have one bit less than `bits`, so that no sum overflows.
"""

import operator
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

#: Up to here every sum is tried: 4^11, four million. Each further bit takes four times as long.
MOST_BITS_EXHAUSTIVE = 12

Predict = Callable[[Float[np.ndarray, "time batch 2"]], Float[np.ndarray, "time batch 1"]]


class Example(NamedTuple):
    """One sum a + b, with its bits as input and target: shapes (bits, 1, 2) and (bits, 1, 1)."""

    a: int
    b: int
    x: Float[np.ndarray, "bits 1 2"]
    y: Float[np.ndarray, "bits 1 1"]


class Count(NamedTuple):
    """How many of the sums tried are exact; `exhaustive` if those were all there are."""

    exact: int
    tried: int
    exhaustive: bool


def to_bits(integers: Iterable[int], width: int) -> UInt8[np.ndarray, "width count"]:
    """The integers' bits, least significant first, a column for each integer.

    Raises:
        TypeError: an operand that is no integer.
        ValueError: an operand that is negative or wider than `width` bits, or a width below 1.
    """
    width = operator.index(width)
    if width < 1:
        raise ValueError(f"width must be at least 1 bit, got {width}")
    octets = (width + 7) // 8
    buffer = bytearray()
    for integer in integers:
        try:
            value = operator.index(integer)
        except TypeError:
            raise TypeError(f"operands must be integers, got {integer!r}") from None
        if not 0 <= value < 1 << width:
            raise ValueError(
                f"operands must be 0 to 2^{width} - 1 to fit {width} bits, got {value}"
            )
        buffer += value.to_bytes(octets, "little")
    columns = np.frombuffer(buffer, np.uint8).reshape(-1, octets)
    return np.ascontiguousarray(np.unpackbits(columns, axis=1, bitorder="little")[:, :width].T)


def from_bits(bits: Any) -> list[int]:
    """The integers that columns of bits (width, count) stand for; undoes `to_bits`.

    Accepts booleans and any numbers that are 0 or 1.

    Raises:
        ValueError: another shape, or an entry that is neither 0 nor 1.
    """
    bits = np.asarray(bits)
    if bits.ndim != 2 or len(bits) < 1:
        raise ValueError(f"bits must be (width, count), got {bits.shape}")
    if not np.isin(bits, (0, 1)).all():
        raise ValueError("bits must be 0 or 1: pass outputs > 0.5?")
    octets = np.packbits(bits.astype(np.uint8), axis=0, bitorder="little")
    return [int.from_bytes(column.tobytes(), "little") for column in octets.T]


def encode(
    a: Iterable[int], b: Iterable[int], bits: int, dtype: np.typing.DTypeLike = np.float64
) -> tuple[Float[np.ndarray, "bits count 2"], Float[np.ndarray, "bits count 1"]]:
    """Inputs and targets for the sums a + b.

    Raises:
        TypeError, ValueError: as `to_bits`, and for different numbers of operands.
    """
    a, b = list(a), list(b)
    if len(a) != len(b):
        raise ValueError(f"a and b must be equally many operands, got {len(a)} and {len(b)}")
    x = np.stack([to_bits(a, bits), to_bits(b, bits)], axis=-1)
    y = to_bits((one + other for one, other in zip(a, b, strict=True)), bits)
    return x.astype(dtype), y[..., np.newaxis].astype(dtype)


def decode(outputs: Float[np.ndarray, "bits count 1"]) -> list[int]:
    """The sums that a network's outputs say: a bit is 1 where the output is above one half."""
    return from_bits(outputs[..., 0] > 0.5)


def random_example(
    rng: np.random.RandomState, bits: int, dtype: np.typing.DTypeLike = np.float64
) -> Example:
    """The recipe's next example: `randint(2^(bits-1))` for a and again for b."""
    a, b = (int(rng.randint(2 ** (bits - 1), dtype=np.int64)) for _ in "ab")
    return Example(a, b, *encode([a], [b], bits, dtype))


def all_pairs(
    bits: int, dtype: np.typing.DTypeLike = np.float64, most: int = 1 << 15
) -> Iterator[tuple[Float[np.ndarray, "bits count 2"], Float[np.ndarray, "bits count 1"]]]:
    """Inputs and targets of all 2^(bits-1) x 2^(bits-1) sums, at most `most` of them at a time."""
    operands = 2 ** (bits - 1)
    for start in range(0, operands**2, most):
        pairs = range(start, min(start + most, operands**2))
        yield encode((i // operands for i in pairs), (i % operands for i in pairs), bits, dtype)


def count_exact(
    predict: Predict,
    bits: int,
    dtype: np.typing.DTypeLike = np.float64,
    sample: int = 1 << 17,
    on_progress: Callable[[int], object] = lambda tried: None,
) -> Count:
    """Try a network, given as a function from inputs to outputs, on every sum; count exact ones.

    From `MOST_BITS_EXHAUSTIVE` + 1 bits on there are too many: then on `sample` random sums, the
    same ones every time.
    """
    exhaustive = bits <= MOST_BITS_EXHAUSTIVE
    exact = tried = 0
    for x, y in all_pairs(bits, dtype) if exhaustive else _sampled_pairs(bits, dtype, sample):
        said = predict(x) > 0.5
        exact += int((said == (y > 0.5)).all(axis=(0, 2)).sum())
        tried += x.shape[1]
        on_progress(x.shape[1])
    return Count(exact, tried, exhaustive)


def _sampled_pairs(
    bits: int, dtype: np.typing.DTypeLike, sample: int
) -> Iterator[tuple[Float[np.ndarray, "bits count 2"], Float[np.ndarray, "bits count 1"]]]:
    generator = random.Random(0)
    for start in range(0, sample, 1 << 13):
        count = min(1 << 13, sample - start)
        a, b = ([generator.getrandbits(bits - 1) for _ in range(count)] for _ in "ab")
        yield encode(a, b, bits, dtype)
