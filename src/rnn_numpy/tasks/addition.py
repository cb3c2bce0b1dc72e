"""The task: add two integers bit by bit, least significant bit first, with a carry.

At step t the network gets the bits a_t, b_t and must output bit t of a + b; it must learn the
carry. Operands have one bit less than `bits`, so that no sum overflows.
"""

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8


def to_bits(integers: Iterable[int], width: int) -> UInt8[np.ndarray, "width count"]:
    """The integers' bits, least significant first, a column for each integer.

    Raises:
        TypeError: an operand is not an integer.
        ValueError: an operand is negative or wider than `width` bits, or the width is below 1.
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
    """The integers with these bits (width, count) as columns: the inverse of `to_bits`.

    Accepts booleans and any numbers that are 0 or 1.

    Raises:
        ValueError: the shape has not two axes, or an entry is neither 0 nor 1.
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
    """Inputs and targets for the sums a + b; raises as `to_bits`, and for different lengths."""
    a, b = list(a), list(b)
    if len(a) != len(b):
        raise ValueError(f"a and b must have equal lengths, got {len(a)} and {len(b)}")
    x = np.stack([to_bits(a, bits), to_bits(b, bits)], axis=-1)
    y = to_bits((one + other for one, other in zip(a, b, strict=True)), bits)
    return x.astype(dtype), y[..., np.newaxis].astype(dtype)


def decode(outputs: Float[np.ndarray, "bits count 1"]) -> list[int]:
    """The sums predicted by a network's outputs: a bit is 1 where the output is above one half."""
    return from_bits(outputs[..., 0] > 0.5)


def encode_pairs(
    pairs: Int64[np.ndarray, "examples 2"], bits: int, dtype: np.typing.DTypeLike = np.float64
) -> tuple[Float[np.ndarray, "bits examples 2"], Float[np.ndarray, "bits examples 1"]]:
    """Like `encode`, without Python's integers, for operands of at most 63 bits."""
    place = np.arange(bits)[:, np.newaxis, np.newaxis]
    # A sum of 64 bits wraps around to a negative number with the right bits.
    x, y = (each >> place & 1 for each in (pairs, pairs.sum(axis=1, keepdims=True)))
    return x.astype(dtype), y.astype(dtype)


def encode_batches(
    pairs: Int64[np.ndarray, "examples 2"],
    bits: int,
    batch: int,
    dtype: np.typing.DTypeLike = np.float64,
) -> tuple[Float[np.ndarray, "steps bits batch 2"], Float[np.ndarray, "steps bits batch 1"]]:
    """Inputs and targets of `batch` examples for each step, in the order of the steps."""
    x, y = (
        np.ascontiguousarray(array.reshape(bits, -1, batch, array.shape[-1]).swapaxes(0, 1))
        for array in encode_pairs(pairs, bits, dtype)
    )
    return x, y


def draw_pairs(
    rng: np.random.RandomState, bits: int, examples: int
) -> Int64[np.ndarray, "examples 2"]:
    """The recipe's next examples: for each, `randint(2^(bits-1))` for a and then for b."""
    return rng.randint(2 ** (bits - 1), size=(examples, 2), dtype=np.int64)
