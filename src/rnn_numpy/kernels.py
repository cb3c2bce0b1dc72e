"""The time loops that are too short for BLAS, for numba to compile: (1)-(3) and (6)-(11).

Read `textbook.py` first: this is the same, with every array as flat memory in C order, so that a
kernel can work on anybody's memory in place. `native.py` compiles it, once for each dtype; nothing
here is called from Python.

Rows are added up several at a time (`add_row`, `add_product`), so that one load and one store of a
sum serve four to eight products. `exp` is our own so that it can be vectorised: the usual reduction
to |r| <= ln(2) / 2 and the Taylor polynomial (tests/test_native.py measures its error).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit


def kernels(dtype: type[np.floating[Any]]) -> dict[str, Callable[..., None]]:
    """The kernels for float32 or float64, by name; `native.SIGNATURES` says what each is given."""
    one, half, zero = dtype(1), dtype(0.5), dtype(0)
    double = dtype is np.float64
    bits_of = np.int64 if double else np.int32
    mantissa, bias = (52, 1023) if double else (23, 127)
    degree = 13 if double else 7
    largest = dtype(709.7 if double else 88.7)  # exp of more is an infinity
    smallest = dtype(-708.0 if double else -87.0)  # exp of less is as good as nothing beside 1
    per_ln2 = dtype(1 / np.log(2))
    # ln(2) in two parts, the first short enough for its product with any exponent to be exact.
    ln2_high = dtype(6.93147180369123816490e-01 if double else 0.693359375)
    ln2_low = dtype(1.90821492927058770002e-10 if double else -2.12194440e-4)
    taylor = tuple(dtype(1 / float(np.prod(np.arange(1.0, n + 1)))) for n in range(degree, -1, -1))

    # Only products and sums may be fused. Sums must not be reordered here: ln2_low would be lost.
    @njit(fastmath={"contract"}, error_model="numpy")
    def sigmoid(z: Any) -> Any:  # (2), (3)
        x = -z
        if x < smallest:
            x = smallest
        clipped = largest if x > largest else x  # a NaN stays one
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
    # For a few rows that is cheaper than to transpose M first.
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

    def descend(
        U: Any, W: Any, V: Any, into_U: Any, into_W: Any, into_V: Any, pairs: Any, steps: int,
        bits: int, hidden: int, rate: float, outputs: Any, h: Any, delta: Any, eps: Any, W_T: Any,
    ) -> None:  # fmt: skip
        """One SGD step for each pair; what the weights lose is added to into_U, into_W, into_V.

        Those are U, W, V themselves, or zeros to see a gradient. `h` has row 0 for h_0 = 0.
        """
        down = dtype(-rate)
        for k in range(hidden):
            h[k] = zero
        for step in range(steps):
            a, b = pairs[2 * step], pairs[2 * step + 1]
            for t in range(bits):
                now = (t + 1) * hidden
                a_t, b_t = dtype((a >> t) & 1), dtype((b >> t) & 1)
                for k in range(hidden):
                    h[now + k] = a_t * U[k] + b_t * U[hidden + k]
                add_row(h, now, h, now - hidden, 1, W, 0, hidden, hidden, one)  # (1)
                sigmoids(h, now, hidden)  # (2)
                outputs[t] = dot(h, now, V, hidden)
            sigmoids(outputs, 0, bits)  # (3)
            for t in range(bits):
                o_t = outputs[t]
                eps[t] = (o_t - dtype(((a + b) >> t) & 1)) * o_t * (one - o_t)  # (6)
            transpose(W, hidden, hidden, W_T, 0)
            for t in range(bits - 1, -1, -1):
                now, h_t = t * hidden, (t + 1) * hidden
                for k in range(hidden):
                    delta[now + k] = eps[t] * V[k]
                if t < bits - 1:
                    add_row(delta, now, delta, h_t, 1, W_T, 0, hidden, hidden, one)  # (7)
                for k in range(hidden):
                    delta[now + k] *= h[h_t + k] * (one - h[h_t + k])  # (8)
            for t in range(bits):
                a_t, b_t = down * dtype((a >> t) & 1), down * dtype((b >> t) & 1)
                for k in range(hidden):
                    into_U[k] += a_t * delta[t * hidden + k]  # (9)
                    into_U[hidden + k] += b_t * delta[t * hidden + k]
            for j in range(hidden):
                add_row(into_W, j * hidden, h, j, hidden, delta, 0, bits, hidden, down)  # (10)
            add_row(into_V, 0, eps, 0, 1, h, hidden, bits, hidden, down)  # (11)

    def count_exact(
        U: Any, W: Any, V: Any, bits: int, hidden: int, exact: Any, branch: Any, carry: Any,
        h: Any, base: Any, outputs: Any,
    ) -> None:  # fmt: skip
        """How many of the 4^(bits - 1) sums have every bit right, depth first.

        All pairs with the same low bits share the state they lead to, and none is followed beyond
        its first wrong bit. `h[level, input]` are the four states that follow; the last bits are 0.
        """
        found, level = 0, 0
        branch[0], carry[0] = -1, 0
        for k in range(hidden):
            base[k] = zero
        while level >= 0:
            inputs = 4 if level < bits - 1 else 1
            rows = 4 * level * hidden
            if branch[level] < 0:  # the first visit: all four inputs at once
                for i in range(inputs):
                    a_t, b_t = dtype(i & 1), dtype(i >> 1)
                    for k in range(hidden):
                        at = rows + i * hidden + k
                        h[at] = base[level * hidden + k] + a_t * U[k] + b_t * U[hidden + k]  # (1)
                sigmoids(h, rows, inputs * hidden)  # (2)
                for i in range(inputs):
                    outputs[4 * level + i] = dot(h, rows + i * hidden, V, hidden)
                sigmoids(outputs, 4 * level, inputs)  # (3)
                branch[level] = 0
            i = branch[level]
            if i == inputs:
                level -= 1
                continue
            branch[level] = i + 1
            total = (i & 1) + (i >> 1) + carry[level]
            if (outputs[4 * level + i] > half) != (total & 1 == 1):
                continue
            if level == bits - 1:
                found += 1
                continue
            level += 1
            branch[level], carry[level] = -1, total >> 1
            for k in range(hidden):
                base[level * hidden + k] = zero
            add_row(base, level * hidden, h, rows + i * hidden, 1, W, 0, hidden, hidden, one)
        exact[0] = found

    @njit(error_model="numpy")
    def clear(out: Any, first: int, count: int) -> None:
        for k in range(first, first + count):
            out[k] = zero

    def forward(
        x: Any, U: Any, W: Any, h_0: Any, states: Any, has_h_0: int,
        time: int, batch: int, n_in: int, hidden: int,
    ) -> None:  # fmt: skip
        """The states h_1 ... h_T. Without has_h_0, h_0 is zero and its memory may be anything.

        With n_in = 0 the products x_t U are already where the states will be.
        """
        size = batch * hidden
        for t in range(time):
            now, at = t * size, t * batch * n_in
            if n_in > 0:
                clear(states, now, size)
                add_product(states, now, x, at, n_in, 1, U, 0, batch, n_in, hidden)
            if t > 0:
                add_product(states, now, states, now - size, hidden, 1, W, 0, batch, hidden, hidden)
            elif has_h_0:
                add_product(states, now, h_0, 0, hidden, 1, W, 0, batch, hidden, hidden)
            sigmoids(states, now, size)

    @njit(error_model="numpy")
    def errors(
        W: Any, at: int, transposed: int, states: Any, upstream: Any, delta: Any,
        time: int, batch: int, hidden: int,
    ) -> None:  # fmt: skip
        size = batch * hidden
        for t in range(time - 1, -1, -1):
            now, after = t * size, (t + 1) * size
            for k in range(now, after):
                delta[k] = upstream[k]
            if t < time - 1:  # (7)
                if transposed:
                    add_product(delta, now, delta, after, hidden, 1, W, at, batch, hidden, hidden)
                else:
                    add_dots(delta, now, delta, after, W, at, batch, hidden, hidden)
            for k in range(now, after):
                delta[k] *= states[k] * (one - states[k])  # (8)

    def backward(
        W: Any, transposed: int, states: Any, upstream: Any, delta: Any,
        time: int, batch: int, hidden: int,
    ) -> None:  # fmt: skip
        """delta_t (8) for every t from the gradient with respect to every state.

        W is given as it is or transposed, which is worth its while from four examples on.
        """
        errors(W, 0, transposed, states, upstream, delta, time, batch, hidden)

    def whole_backward(
        x: Any, U: Any, W: Any, h_0: Any, states: Any, upstream: Any, has_h_0: int,
        into_x: Any, into_U: Any, into_W: Any, into_h_0: Any, workspace: Any,
        time: int, batch: int, n_in: int, hidden: int,
    ) -> None:  # fmt: skip
        """The gradients of x, U (9), W (10) and h_0, a few rows at a time, which fit the cache.

        The workspace starts with delta and goes on with a matrix for W^T and then U^T.
        """
        delta, total = workspace, time * batch
        matrix = total * hidden
        if batch < 4:
            errors(W, 0, 0, states, upstream, delta, time, batch, hidden)
        else:
            transpose(W, hidden, hidden, workspace, matrix)
            errors(workspace, matrix, 1, states, upstream, delta, time, batch, hidden)
        clear(into_U, 0, n_in * hidden)
        clear(into_W, 0, hidden * hidden)
        if has_h_0:
            add_product(into_W, 0, h_0, 0, 1, hidden, delta, 0, hidden, batch, hidden)
            clear(into_h_0, 0, batch * hidden)
            add_dots(into_h_0, 0, delta, 0, W, 0, batch, hidden, hidden)
        clear(into_x, 0, total * n_in)
        if total < 16:
            add_dots(into_x, 0, delta, 0, U, 0, total, n_in, hidden)
        else:
            transpose(U, n_in, hidden, workspace, matrix)
            add_product(into_x, 0, delta, 0, hidden, 1, workspace, matrix, total, hidden, n_in)
        for first in range(0, total, 32):
            rows = min(32, total - first)
            now, after = first * hidden, (first + batch) * hidden
            add_product(into_U, 0, x, first * n_in, 1, n_in, delta, now, n_in, rows, hidden)  # (9)
            rows = min(rows, total - batch - first)
            if rows > 0:
                add_product(into_W, 0, states, now, 1, hidden, delta, after, hidden, rows, hidden)

    return {
        function.__name__: function
        for function in (descend, count_exact, forward, backward, whole_backward)
    }
