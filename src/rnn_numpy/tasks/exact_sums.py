"""Count the sums with every bit right: of all sums up to 12 bits, of a sample beyond."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from rnn_numpy.compiled import native
from rnn_numpy.elman_network.model import forward
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.tasks.addition import to_bits

#: Up to this size every sum is tried: 4^11, four million. Each further bit takes four times longer.
MOST_BITS_EXHAUSTIVE = 12

#: A network as one step: from states and inputs to outputs and next states.
Advance = Callable[
    [Float[np.ndarray, "batch hidden"], Float[np.ndarray, "1 batch 2"]],
    tuple[Float[np.ndarray, "1 batch 1"], Float[np.ndarray, "batch hidden"]],
]


class Count(NamedTuple):
    """The number of exact sums among those tried; `exhaustive` if all sums were tried."""

    exact: int
    tried: int
    exhaustive: bool


def count(
    params: Params, bits: int, *, on_progress: Callable[[int], object] = lambda tried: None
) -> Count:
    """Count the exact sums of the network with these weights, by the fastest implementation.

    `on_progress` is as for `count_exact`; the kernel, which takes half a second, does not call it.
    """
    if bits <= MOST_BITS_EXHAUSTIVE and native.available():
        return count_exact_compiled(params, bits)
    step = partial(advance, params)
    return count_exact(step, len(params.W), bits, params.W.dtype, on_progress=on_progress)


def advance(
    params: Params, h: Float[np.ndarray, "batch hidden"], x: Float[np.ndarray, "1 batch 2"]
) -> tuple[Float[np.ndarray, "1 batch 1"], Float[np.ndarray, "batch hidden"]]:
    """One time step of the network with these weights: the outputs and the next states."""
    outputs, trace = forward(params, x, h)
    return outputs, trace.states[1]


def count_exact(
    advance: Advance,
    hidden: int,
    bits: int,
    dtype: np.typing.DTypeLike = np.float64,
    *,
    sample: int = 1 << 17,
    most: int = 1 << 14,
    on_progress: Callable[[int], object] = lambda tried: None,
) -> Count:
    """Try a network on every sum, and count the exact ones.

    Pairs with the same low bits share a state, and a sum is dropped at its first wrong bit: at most
    38,000 state updates for 8 bits instead of 131,000. With more than `MOST_BITS_EXHAUSTIVE` bits
    it tries `sample` random sums, the same ones in every call.

    Args:
        most: largest number of sums or prefixes processed together, which bounds the memory.
        on_progress: called with the number of sums decided since the last call.
    """
    exhaustive = bits <= MOST_BITS_EXHAUSTIVE
    h, carry = np.zeros((1, hidden), dtype), np.zeros(1, np.int64)

    def exact_sums(h: Any, carry: Any, place: int) -> int:
        """Count the sums that continue from these states and are right in all further bits."""
        if place == bits:
            on_progress(len(h))
            return len(h)
        inputs = _EVERY_INPUT if place < bits - 1 else _EVERY_INPUT[:1]
        a, b = np.tile(inputs, (len(h), 1)).T
        h, carry = _right(advance, h.repeat(len(inputs), 0), carry.repeat(len(inputs)), a, b)
        below = 4 ** max(bits - 2 - place, 0)
        on_progress((len(a) - len(h)) * below)
        return sum(
            exact_sums(h[i : i + most], carry[i : i + most], place + 1)
            for i in range(0, len(h), most)
        )

    if exhaustive:
        return Count(exact_sums(h, carry, 0), 4 ** (bits - 1), exhaustive)
    exact = 0
    for a_bits, b_bits in _sampled_pairs(bits, sample, most):
        alive = np.arange(a_bits.shape[1])
        h, carry = np.zeros((len(alive), hidden), dtype), np.zeros(len(alive), np.int64)
        for a_t, b_t in zip(a_bits, b_bits, strict=True):
            if len(alive) == 0:
                break
            h, carry, alive = _right(advance, h, carry, a_t[alive], b_t[alive], alive)
        exact += len(alive)
        on_progress(a_bits.shape[1])
    return Count(exact, sample, exhaustive)


def count_exact_compiled(params: Params, bits: int) -> Count:
    """`count_exact` by a compiled kernel; ValueError if there are too many sums to try all."""
    check_params(params)
    if bits > MOST_BITS_EXHAUSTIVE:
        raise ValueError(f"bits must be at most {MOST_BITS_EXHAUSTIVE}, got {bits}")
    U, W, V = (np.ascontiguousarray(array) for array in params)
    hidden, dtype = len(W), W.dtype
    exact, left, carry = (np.zeros(size, np.int64) for size in (1, bits, 16 * (bits + 1)))
    h, base, outputs = (np.empty(16 * size, dtype) for size in (hidden, hidden * bits, 1))
    arrays = (U, W, V, exact, left, carry, h, base, outputs)
    u, w, v, *workspace = (array.ctypes.data for array in arrays)
    native.kernel("count_exact", dtype)(u, w, v, bits, hidden, *workspace)
    return Count(int(exact[0]), 4 ** (bits - 1), exhaustive=True)


_EVERY_INPUT = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])


def _right(advance: Advance, h: Any, carry: Any, a_t: Any, b_t: Any, *others: Any) -> Any:
    """Process one bit; return the states, carries and other arrays of those with the right bit."""
    x = np.stack([a_t, b_t], axis=-1)[np.newaxis].astype(h.dtype)
    outputs, h = advance(h, x)
    total = a_t + b_t + carry
    right = (outputs[0, :, 0] > 0.5) == (total & 1)
    return h[right], total[right] >> 1, *(other[right] for other in others)


def _sampled_pairs(
    bits: int, sample: int, most: int
) -> Iterator[tuple[UInt8[np.ndarray, "bits count"], UInt8[np.ndarray, "bits count"]]]:
    generator = random.Random(0)
    for start in range(0, sample, most):
        count = min(most, sample - start)
        a, b = ([generator.getrandbits(bits - 1) for _ in range(count)] for _ in "ab")
        yield to_bits(a, bits), to_bits(b, bits)
