"""Arithmetic for the compiled kernels: sigmoid, and products of small matrices in flat memory.

Several rows are added at a time (`add_row`, `add_product`), so that one load and one store of a
sum serve four to eight products. `exp` is written here so that it can be vectorised: the usual
reduction to |r| <= ln(2) / 2 and the Taylor polynomial (tests/compiled/test_native.py measures its
error).
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit


class Arithmetic(NamedTuple):
    """Functions that numba compiles into a kernel; a comment describes each."""

    sigmoids: Any
    add_row: Any
    add_product: Any
    add_dots: Any
    dot: Any
    transpose: Any
    clear: Any


def arithmetic(dtype: type[np.floating[Any]]) -> Arithmetic:
    """The arithmetic of float32 or float64."""
    one, half, zero = dtype(1), dtype(0.5), dtype(0)
    double = dtype is np.float64
    bits_of = np.int64 if double else np.int32
    mantissa, bias = (52, 1023) if double else (23, 127)
    degree = 13 if double else 7
    largest = dtype(709.7 if double else 88.7)  # exp overflows above
    smallest = dtype(-708.0 if double else -87.0)  # below, exp is negligible beside 1
    per_ln2 = dtype(1 / np.log(2))
    # ln(2) in two parts; the product of the first with any exponent is exact.
    ln2_high = dtype(6.93147180369123816490e-01 if double else 0.693359375)
    ln2_low = dtype(1.90821492927058770002e-10 if double else -2.12194440e-4)
    taylor = tuple(dtype(1 / float(np.prod(np.arange(1.0, n + 1)))) for n in range(degree, -1, -1))

    # Products and sums may be fused. Sums must not be reordered: ln2_low would be lost.
    @njit(fastmath={"contract"}, error_model="numpy")
    def sigmoid(z: Any) -> Any:  # (2), (3)
        x = -z
        if x < smallest:
            x = smallest
        clipped = largest if x > largest else x  # keeps NaN
        exponent = np.floor(clipped * per_ln2 + half)
        r = (clipped - exponent * ln2_high) - exponent * ln2_low
        value = taylor[0]
        for coefficient in taylor[1:]:
            value = value * r + coefficient
        power = bits_of((bits_of(exponent) + bits_of(bias)) << bits_of(mantissa)).view(dtype)
        return zero if x > largest else one / (one + value * power)

    @njit(fastmath={"contract"}, error_model="numpy")
    def sigmoids(z: Any, first: int, count: int) -> None:
        for i in range(first, first + count):
            z[i] = sigmoid(z[i])

    # out[k] += scale * sum over i of A[i * a_inner] * M[i, k], eight i at a time
    @njit(fastmath={"contract", "reassoc"}, error_model="numpy")
    def add_row(
        out: Any, o: int, A: Any, a: int, a_inner: int, M: Any, m: int, inner: int, columns: int,
        scale: Any,
    ) -> None:  # fmt: skip
        i = 0
        while i + 8 <= inner:
            c0, c1 = scale * A[a], scale * A[a + a_inner]
            c2, c3 = scale * A[a + 2 * a_inner], scale * A[a + 3 * a_inner]
            c4, c5 = scale * A[a + 4 * a_inner], scale * A[a + 5 * a_inner]
            c6, c7 = scale * A[a + 6 * a_inner], scale * A[a + 7 * a_inner]
            for k in range(columns):
                at = m + k
                out[o + k] += (
                    c0 * M[at] + c1 * M[at + columns]
                    + c2 * M[at + 2 * columns] + c3 * M[at + 3 * columns]
                    + c4 * M[at + 4 * columns] + c5 * M[at + 5 * columns]
                    + c6 * M[at + 6 * columns] + c7 * M[at + 7 * columns]
                )  # fmt: skip
            i, a, m = i + 8, a + 8 * a_inner, m + 8 * columns
        while i < inner:
            c0 = scale * A[a]
            for k in range(columns):
                out[o + k] += c0 * M[m + k]
            i, a, m = i + 1, a + a_inner, m + columns

    # out[r, k] += sum over i of A[r * a_row + i * a_inner] * M[i, k], four rows, four i at a time
    @njit(fastmath={"contract", "reassoc"}, error_model="numpy")
    def add_product(
        out: Any, o: int, A: Any, a: int, a_row: int, a_inner: int, M: Any, m: int,
        rows: int, inner: int, columns: int,
    ) -> None:  # fmt: skip
        whole = inner - inner % 4
        row = 0
        while row + 4 <= rows:
            p, q, r, s = a, a + a_row, a + 2 * a_row, a + 3 * a_row
            at = m
            for _ in range(0, whole, 4):
                p0, p1, p2, p3 = A[p], A[p + a_inner], A[p + 2 * a_inner], A[p + 3 * a_inner]
                q0, q1, q2, q3 = A[q], A[q + a_inner], A[q + 2 * a_inner], A[q + 3 * a_inner]
                r0, r1, r2, r3 = A[r], A[r + a_inner], A[r + 2 * a_inner], A[r + 3 * a_inner]
                s0, s1, s2, s3 = A[s], A[s + a_inner], A[s + 2 * a_inner], A[s + 3 * a_inner]
                for k in range(columns):
                    m0, m1 = M[at + k], M[at + columns + k]
                    m2, m3 = M[at + 2 * columns + k], M[at + 3 * columns + k]
                    out[o + k] += p0 * m0 + p1 * m1 + p2 * m2 + p3 * m3
                    out[o + columns + k] += q0 * m0 + q1 * m1 + q2 * m2 + q3 * m3
                    out[o + 2 * columns + k] += r0 * m0 + r1 * m1 + r2 * m2 + r3 * m3
                    out[o + 3 * columns + k] += s0 * m0 + s1 * m1 + s2 * m2 + s3 * m3
                p, q = p + 4 * a_inner, q + 4 * a_inner
                r, s = r + 4 * a_inner, s + 4 * a_inner
                at += 4 * columns
            for i in range(4):
                left = a + i * a_row + whole * a_inner
                add_row(
                    out, o + i * columns, A, left, a_inner, M, at, inner - whole, columns, one
                )  # fmt: skip
            row, a, o = row + 4, a + 4 * a_row, o + 4 * columns
        while row < rows:
            add_row(out, o, A, a, a_inner, M, m, inner, columns, one)
            row, a, o = row + 1, a + a_row, o + columns

    @njit(fastmath={"contract", "reassoc"}, error_model="numpy")
    def dot(one_: Any, i: int, other: Any, count: int) -> Any:
        total = zero
        for k in range(count):
            total += one_[i + k] * other[k]
        return total

    # out[r, i] += sum over k of A[r, k] * M[i, k]: the same with M transposed, four i at a time.
    # For few rows this is cheaper than transposing M.
    @njit(fastmath={"contract", "reassoc"}, error_model="numpy")
    def add_dots(
        out: Any, o: int, A: Any, a: int, M: Any, m: int, rows: int, inner: int, columns: int
    ) -> None:
        for _ in range(rows):
            at = m
            for i in range(0, inner - inner % 4, 4):
                c0, c1, c2, c3 = zero, zero, zero, zero
                for k in range(columns):
                    c0 += A[a + k] * M[at + k]
                    c1 += A[a + k] * M[at + columns + k]
                    c2 += A[a + k] * M[at + 2 * columns + k]
                    c3 += A[a + k] * M[at + 3 * columns + k]
                out[o + i] += c0
                out[o + i + 1] += c1
                out[o + i + 2] += c2
                out[o + i + 3] += c3
                at += 4 * columns
            for i in range(inner - inner % 4, inner):
                c0 = zero
                for k in range(columns):
                    c0 += A[a + k] * M[at + k]
                out[o + i] += c0
                at += columns
            a, o = a + columns, o + inner

    @njit(fastmath={"contract"}, error_model="numpy")
    def transpose(M: Any, rows: int, columns: int, out: Any, first: int) -> None:
        for i in range(rows):
            for j in range(columns):
                out[first + j * rows + i] = M[i * columns + j]

    @njit(error_model="numpy")
    def clear(out: Any, first: int, count: int) -> None:
        for k in range(first, first + count):
            out[k] = zero

    return Arithmetic(sigmoids, add_row, add_product, add_dots, dot, transpose, clear)
