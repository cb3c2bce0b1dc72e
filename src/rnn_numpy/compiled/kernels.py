"""The loops over time, too short for BLAS, as functions that numba compiles: (1)-(3) and (6)-(11).

Read `textbook.py` first: this is the same with each array as flat memory in C order, so that a
kernel can work in place on memory of NumPy and torch. `native.py` compiles it for each dtype;
Python does not call these functions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from rnn_numpy.compiled.flat_matrices import arithmetic


def kernels(dtype: type[np.floating[Any]]) -> dict[str, Callable[..., None]]:
    """The kernels for float32 or float64, by name; `native.SIGNATURES` has their arguments."""
    one, half, zero = dtype(1), dtype(0.5), dtype(0)
    sigmoids, add_row, add_product, add_dots, dot, transpose, clear = arithmetic(dtype)

    def descend(
        U: Any, W: Any, V: Any, into_U: Any, into_W: Any, into_V: Any, pairs: Any, steps: int,
        bits: int, hidden: int, rate: float, outputs: Any, h: Any, delta: Any, eps: Any, W_T: Any,
    ) -> None:  # fmt: skip
        """One SGD step for each pair; the updates are added to into_U, into_W, into_V.

        These are U, W, V for training, or zeros to get a gradient. `outputs` has a row for each
        pair; row 0 of `h` is h_0 = 0.
        """
        down = dtype(-rate)
        for k in range(hidden):
            h[k] = zero
        for step in range(steps):
            a, b, first = pairs[2 * step], pairs[2 * step + 1], step * bits
            for t in range(bits):
                now = (t + 1) * hidden
                a_t, b_t = dtype((a >> t) & 1), dtype((b >> t) & 1)
                for k in range(hidden):
                    h[now + k] = a_t * U[k] + b_t * U[hidden + k]
                add_row(h, now, h, now - hidden, 1, W, 0, hidden, hidden, one)  # (1)
                sigmoids(h, now, hidden)  # (2)
                outputs[first + t] = dot(h, now, V, hidden)
            sigmoids(outputs, first, bits)  # (3)
            for t in range(bits):
                o_t = outputs[first + t]
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
        """Count the sums, of 4^(bits - 1), with every bit right, by depth-first search.

        All pairs with the same low bits share a state, and no pair is followed beyond its first
        wrong bit. `h[level, input]` are the four next states; the last bits are 0.
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

    def forward(
        x: Any, U: Any, W: Any, h_0: Any, states: Any, has_h_0: int,
        time: int, batch: int, n_in: int, hidden: int,
    ) -> None:  # fmt: skip
        """The states h_1 ... h_T. Without has_h_0, h_0 is zero and its memory is not read.

        With n_in = 0 the memory of the states already contains the products x_t U.
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

        W is plain or transposed; transposing is faster from four examples on.
        """
        errors(W, 0, transposed, states, upstream, delta, time, batch, hidden)

    def whole_backward(
        x: Any, U: Any, W: Any, h_0: Any, states: Any, upstream: Any, has_h_0: int,
        into_x: Any, into_U: Any, into_W: Any, into_h_0: Any, workspace: Any,
        time: int, batch: int, n_in: int, hidden: int,
    ) -> None:  # fmt: skip
        """The gradients of x, U (9), W (10) and h_0, a few rows at a time, which fit the cache.

        The workspace has delta first, then a matrix for W^T and later U^T.
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
