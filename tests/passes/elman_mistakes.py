"""The catalogue of classic BPTT mistakes: each changes a line or two of the textbook pass.

`planted` returns the textbook pass with given mistakes. Tests require that parity rejects each of
them, and that the judge names most of them. The table has the format of planted.py; each mistake
has the equation of docs/bptt.md that it violates.
"""

import inspect
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from rnn_numpy.elman_network.textbook import Array, Backward, sigmoid, textbook
from tests.passes.edits import edited
from tests.passes.planted import read


class Mistake(NamedTuple):
    """A mistake: its equation, and pairs of a line of `textbook` and its wrong replacement."""

    name: str
    equation: str
    changes: tuple[tuple[str, str], ...]


_SINGLE = """
- dh = eps @ V.T + delta_next @ W.T
+ dh = eps @ V.T  # (7): recurrent term dropped
+ dh = eps @ V.T + delta_next @ W  # (7): W not transposed
+ dh = eps @ V.reshape(V.T.shape) + delta_next @ W.T  # (7): V reshaped or not transposed

- delta_next = delta
+ delta_next = eps @ V.T * h[t] * (1 - h[t])  # (7): only the local delta passed on
+ delta_next = dh  # (7): dE/dh passed on instead of delta

- delta = dh * h[t] * (1 - h[t])
+ delta = dh  # (8): derivative of the sigmoid missing
+ delta = dh * z[t] * (1 - z[t])  # (8): derivative of the pre-activation
+ delta = dh * sigmoid(h[t]) * (1 - sigmoid(h[t]))  # (8): sigmoid applied twice in its derivative
+ delta = dh * (1 - h[t] ** 2)  # (8): tanh's derivative
+ delta = dh * h[t - 1] * (1 - h[t - 1])  # (8): derivative at the previous state
# (8): recurrent error not damped by the derivative
+ delta = eps @ V.T * h[t] * (1 - h[t]) + delta_next @ W.T

- eps = (o[t] - y[t]) * o[t] * (1 - o[t])
+ eps = (o[t] - y[t]) * o[t] * (1 - o[t]) * 2  # (6): factor 2
+ eps = o[t] - y[t]  # (6): cross-entropy's delta
+ eps = np.sign(o[t] - y[t]) * o[t] * (1 - o[t])  # (6): L1's sign
+ eps = (o[t] - y[t]) * o[t] * (1 - o[t]) * o[t] * (1 - o[t])  # (6): delta of the output used twice
# (6): output buffer overwritten by the error
+ eps = (o[t] - y[t]) * (o[t] - y[t]) * (1 - (o[t] - y[t]))
+ eps = (o[t] - y[t - 1]) * o[t] * (1 - o[t])  # (6): off by one in y
# (4): only the last step's loss
+ eps = (o[t] - y[t]) * o[t] * (1 - o[t]) * x.dtype.type(t == time - 1)

- return dU, dW, dV
+ return -dU, -dW, -dV  # (6): sign flipped
+ return dU / time, dW / time, dV / time  # (4): mean over time
+ return dU / batch, dW / batch, dV / batch  # (4): batch averaged, not summed
+ return dU / y.shape[2], dW / y.shape[2], dV / y.shape[2]  # (4): mean over the outputs
+ return dU / (y.size / 2), dW / (y.size / 2), dV / (y.size / 2)  # (4): mean squared error
+ return dU, dW.T, dV  # (10): dW transposed
+ return np.clip(dU, -1, 1), np.clip(dW, -1, 1), np.clip(dV, -1, 1)  # (9)-(11): gradients clipped

- dW += h[t - 1].T @ delta
+ dW += h[t].T @ delta  # (10): h_t for h_{t-1} in dW
+ dW = h[t - 1].T @ delta  # (10): dW overwritten, not accumulated

- dV += h[t].T @ eps
+ dV += h[t - 1].T @ eps  # (11): h_{t-1} for h_t in dV
+ dV = h[t].T @ eps  # (11): dV overwritten, not accumulated

- h = np.zeros((time + 1, batch, hidden), x.dtype)
+ h = np.zeros((time, batch, hidden), x.dtype)  # (10): h_{-1} wraps round to the last state

- for t in range(time):
+ for t in range(1, time):  # (2): h_0 treated as h_1

- dU += x[t].T @ delta
+ dU = x[t].T @ delta  # (9): dU overwritten, not accumulated
+ dU += x[t].T @ delta_next  # (9): dU takes the next step's delta
+ dU += x[time - 1 - t].T @ delta  # (9): inputs reversed in time
+ dU += x[t][:, ::-1].T @ delta  # (9): rows of dU swapped (bit order)

- dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)
# (9)-(11): stale gradient buffers
+ dU, dW, dV = buffers.setdefault((U.shape, V.shape, U.dtype), [0 * U, 0 * W, 0 * V])

- for t in reversed(range(time)):
+ for t in reversed(range(1, time)):  # (9)-(11): first step skipped
+ for t in reversed(range(time - 1)):  # (9)-(11): last step skipped

- time, batch, hidden = len(x), x.shape[1], len(W)
# (1): bits most significant first
+ x, y, time, batch, hidden = x[::-1], y[::-1], len(x), x.shape[1], len(W)
"""


def _truncated(k: int) -> Mistake:
    return Mistake(
        f"truncation: no error travels more than {k} steps back",
        "(7)",
        (
            (
                "delta_next = np.zeros((batch, hidden), x.dtype)",
                "delta_next = np.zeros((0, batch, hidden), x.dtype)",
            ),
            (
                "dh = eps @ V.T + delta_next @ W.T",
                "dh = np.concatenate([(eps @ V.T)[np.newaxis], delta_next @ W.T])",
            ),
            (
                "delta = dh * h[t] * (1 - h[t])",
                "by_age = dh * h[t] * (1 - h[t]); delta = by_age.sum(axis=0)",
            ),
            ("delta_next = delta", f"delta_next = by_age[:{k}]"),
        ),
    )


def _cut(k: int) -> Mistake:
    dropped = f"delta_next = delta * x.dtype.type(t % {k} != 0)"
    return Mistake(
        f"truncation: the error is dropped every {k} steps",
        "(7)",
        (("delta_next = delta", dropped),),
    )


_NARROW = Mistake(
    "lower precision inside",
    "(2)",
    tuple(
        (f"{right}, x.dtype)", f"{right}, narrow[x.dtype])")
        for right in (
            "z = np.zeros((time, batch, hidden)",
            "h = np.zeros((time + 1, batch, hidden)",
        )
    ),
)
CATALOGUE = (
    *(Mistake(m.mistake, m.where, ((m.old, m.new),)) for m in read("elman", _SINGLE)),
    *map(_truncated, (2, 3, 4)),
    *map(_cut, (2, 3, 4, 5)),
    _NARROW,
)


def planted(*mistakes: Mistake) -> Backward:
    """The textbook backward pass with these mistakes.

    Raises:
        ValueError: the right line of a mistake does not occur exactly once in the textbook, or
            another mistake has changed it.
    """
    code = _compiled(mistakes)
    # `buffers` persists between calls, like a global or an attribute.
    namespace: dict[str, Any] = {
        "np": np,
        "sigmoid": sigmoid,
        "Array": Array,
        "buffers": {},
        "narrow": {np.dtype(np.float64): np.float32, np.dtype(np.float32): np.float16},
    }
    exec(code, namespace)
    backward: Backward = namespace["textbook"]
    return backward


@cache
def _compiled(mistakes: tuple[Mistake, ...]) -> CodeType:
    changes = (change for mistake in mistakes for change in mistake.changes)
    return compile(edited(_source(), changes), "<textbook with mistakes>", "exec")


@cache
def _source() -> str:
    return inspect.getsource(textbook)
