"""The catalogue of classic BPTT mistakes: each changes a line or two of the textbook pass.

`planted` returns the textbook pass with given mistakes. Tests require that parity rejects each of
them; `rnn_torch.check` names the mistake that a wrong backward pass behaves like.
"""

import inspect
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from rnn_numpy.elman_network.textbook import Array, Backward, sigmoid, textbook


class Mistake(NamedTuple):
    """A mistake in the backward pass.

    `equation`: the equation of docs/bptt.md that it violates; `remedy`: what is right, in words;
    `changes`: pairs of a line of `textbook` (or a part of one) and its wrong replacement.
    """

    name: str
    equation: str
    remedy: str
    changes: tuple[tuple[str, str], ...]

    @property
    def place(self) -> str:
        """The equation that the mistake violates, and the remedy."""
        return f"equation {self.equation} of docs/bptt.md: {self.remedy}"

    @property
    def gradients(self) -> tuple[str, ...]:
        """The gradients that it can change."""
        return _CHANGED.get(self.equation, ("dU", "dW", "dV"))


_CHANGED = {
    "(7)": ("dU", "dW"),
    "(8)": ("dU", "dW"),
    "(9)": ("dU",),
    "(10)": ("dW",),
    "(11)": ("dV",),
}


_SIZES = "time, batch, hidden = len(x), x.shape[1], len(W)"
_Z = "z = np.zeros((time, batch, hidden), x.dtype)"
_H = "h = np.zeros((time + 1, batch, hidden), x.dtype)"
_FORWARD = "for t in range(time):"
_BUFFERS = "dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)"
_NO_DELTA = "delta_next = np.zeros((batch, hidden), x.dtype)"
_LOOP = "for t in reversed(range(time)):"
_EPS = "eps = (o[t] - y[t]) * o[t] * (1 - o[t])"
_DH = "dh = eps @ V.T + delta_next @ W.T"
_DELTA = "delta = dh * h[t] * (1 - h[t])"
_DU = "dU += x[t].T @ delta"
_DW = "dW += h[t - 1].T @ delta"
_DV = "dV += h[t].T @ eps"
_NEXT = "delta_next = delta"
_RETURN = "return dU, dW, dV"


def _single(name: str, equation: str, remedy: str, right: str, wrong: str) -> Mistake:
    return Mistake(name, equation, remedy, ((right, wrong),))


def _divided(name: str, count: str, divisor: str) -> Mistake:
    remedy = f"the loss is a sum: do not divide the gradients by {count}"
    wrong = f"return dU / {divisor}, dW / {divisor}, dV / {divisor}"
    return _single(name, "(4)", remedy, _RETURN, wrong)


def _truncated(k: int) -> Mistake:
    return Mistake(
        f"truncation: no error travels more than {k} steps back",
        "(7)",
        "pass the error on through every earlier step, or check with --window",
        (
            (_NO_DELTA, "delta_next = np.zeros((0, batch, hidden), x.dtype)"),
            (_DH, "dh = np.concatenate([(eps @ V.T)[np.newaxis], delta_next @ W.T])"),
            (_DELTA, "by_age = dh * h[t] * (1 - h[t]); delta = by_age.sum(axis=0)"),
            (_NEXT, f"delta_next = by_age[:{k}]"),
        ),
    )


def _cut(k: int) -> Mistake:
    return _single(
        f"truncation: the error is dropped every {k} steps",
        "(7)",
        "pass the error on across the borders of the chunks",
        _NEXT,
        f"delta_next = delta * x.dtype.type(t % {k} != 0)",
    )


_PASS_ON = "dE/dh_t is the output's error through V^T plus the next step's delta through W^T"
_SLOPE = "multiply dE/dh_t, both parts of it, by h_t (1 - h_t)"
_ERROR = "eps_t is (o_t - y_t) o_t (1 - o_t)"
_ALL = "sum over all steps, t = 1 to T"

CATALOGUE = (
    # The error of a state: (7).
    _single("recurrent term dropped", "(7)", _PASS_ON, _DH, "dh = eps @ V.T"),
    _single(
        "W not transposed",
        "(7)",
        "errors go back through W^T: delta_{t+1} W^T",
        _DH,
        "dh = eps @ V.T + delta_next @ W",
    ),
    _single(
        "V reshaped or not transposed",
        "(7)",
        "errors go back through V^T: eps_t V^T",
        _DH,
        "dh = eps @ V.reshape(V.T.shape) + delta_next @ W.T",
    ),
    _single(
        "only the local delta passed on",
        "(7)",
        "pass on the whole delta_{t+1}, with what came from later steps (or check with --window 1)",
        _NEXT,
        "delta_next = eps @ V.T * h[t] * (1 - h[t])",
    ),
    _single(
        "dE/dh passed on instead of delta",
        "(7)",
        "pass on delta_{t+1}, which is dE/dh_{t+1} times the derivative",
        _NEXT,
        "delta_next = dh",
    ),
    *map(_truncated, (2, 3, 4)),
    *map(_cut, (2, 3, 4, 5)),
    # The derivative of the sigmoid: (8).
    _single("derivative of the sigmoid missing", "(8)", _SLOPE, _DELTA, "delta = dh"),
    _single(
        "derivative of the pre-activation",
        "(8)",
        "the derivative takes the state: h_t (1 - h_t), not z_t (1 - z_t)",
        _DELTA,
        "delta = dh * z[t] * (1 - z[t])",
    ),
    _single(
        "sigmoid applied twice in its derivative",
        "(8)",
        "h_t is the sigmoid already: h_t (1 - h_t)",
        _DELTA,
        "delta = dh * sigmoid(h[t]) * (1 - sigmoid(h[t]))",
    ),
    _single(
        "tanh's derivative",
        "(8)",
        "the sigmoid's derivative is h_t (1 - h_t); 1 - h_t^2 is tanh's",
        _DELTA,
        "delta = dh * (1 - h[t] ** 2)",
    ),
    _single(
        "derivative at the previous state",
        "(8)",
        "the derivative takes the state of the same step, h_t",
        _DELTA,
        "delta = dh * h[t - 1] * (1 - h[t - 1])",
    ),
    _single(
        "recurrent error not damped by the derivative",
        "(8)",
        _SLOPE,
        _DELTA,
        "delta = eps @ V.T * h[t] * (1 - h[t]) + delta_next @ W.T",
    ),
    # The output's error: (6), (4).
    _single("factor 2", "(6)", f"{_ERROR}: the 1/2 of the loss cancels", _EPS, f"{_EPS} * 2"),
    _single(
        "cross-entropy's delta",
        "(6)",
        f"{_ERROR}: o_t - y_t alone belongs to the cross-entropy loss",
        _EPS,
        "eps = o[t] - y[t]",
    ),
    _single(
        "L1's sign",
        "(6)",
        f"{_ERROR}: the sign belongs to the loss that is printed, (5)",
        _EPS,
        "eps = np.sign(o[t] - y[t]) * o[t] * (1 - o[t])",
    ),
    _single(
        "delta of the output used twice",
        "(6)",
        f"{_ERROR}, with the derivative once",
        _EPS,
        f"{_EPS} * o[t] * (1 - o[t])",
    ),
    _single(
        "output buffer overwritten by the error",
        "(6)",
        f"{_ERROR}: keep o_t until its derivative is taken",
        _EPS,
        "eps = (o[t] - y[t]) * (o[t] - y[t]) * (1 - (o[t] - y[t]))",
    ),
    _single(
        "off by one in y",
        "(6)",
        "o_t is compared with the target of the same step, y_t",
        _EPS,
        "eps = (o[t] - y[t - 1]) * o[t] * (1 - o[t])",
    ),
    _single(
        "only the last step's loss",
        "(4)",
        "every step has its loss: eps_t is not zero before the last step",
        _EPS,
        f"{_EPS} * x.dtype.type(t == time - 1)",
    ),
    _single(
        "sign flipped",
        "(6)",
        f"{_ERROR}; the update subtracts",
        _RETURN,
        "return -dU, -dW, -dV",
    ),
    _divided("mean over time", "the number of steps", "time"),
    _divided("batch averaged, not summed", "the batch size", "batch"),
    _divided("mean over the outputs", "the number of outputs", "y.shape[2]"),
    _divided("mean squared error", "the number of targets (nor multiply by 2)", "(y.size / 2)"),
    # The gradients of the weights: (9)-(11).
    _single(
        "h_t for h_{t-1} in dW",
        "(10)",
        "dW takes the state before the step: h_{t-1}^T delta_t",
        _DW,
        "dW += h[t].T @ delta",
    ),
    _single(
        "h_{t-1} for h_t in dV",
        "(11)",
        "dV takes the state of the step: h_t^T eps_t",
        _DV,
        "dV += h[t - 1].T @ eps",
    ),
    _single(
        "h_{-1} wraps round to the last state",
        "(10)",
        "the state before the first step is h_0 = 0: h[t - 1] at t = 0 must not be the last one",
        _H,
        "h = np.zeros((time, batch, hidden), x.dtype)",
    ),
    _single(
        "h_0 treated as h_1",
        "(2)",
        "the first step computes h_1 from h_0; h_0 itself has no output",
        _FORWARD,
        "for t in range(1, time):",
    ),
    _single(
        "dW overwritten, not accumulated",
        "(10)",
        f"{_ALL}: dW += ..., not dW = ...",
        _DW,
        "dW = h[t - 1].T @ delta",
    ),
    _single(
        "dU overwritten, not accumulated",
        "(9)",
        f"{_ALL}: dU += ..., not dU = ...",
        _DU,
        "dU = x[t].T @ delta",
    ),
    _single(
        "dV overwritten, not accumulated",
        "(11)",
        f"{_ALL}: dV += ..., not dV = ...",
        _DV,
        "dV = h[t].T @ eps",
    ),
    _single(
        "dU takes the next step's delta",
        "(9)",
        "dU takes the delta of the same step: x_t^T delta_t",
        _DU,
        "dU += x[t].T @ delta_next",
    ),
    _single(
        "stale gradient buffers",
        "(9)-(11)",
        "start dU, dW and dV from zero in every call",
        _BUFFERS,
        "dU, dW, dV = buffers.setdefault((U.shape, V.shape, U.dtype), [0 * U, 0 * W, 0 * V])",
    ),
    _single("first step skipped", "(9)-(11)", _ALL, _LOOP, "for t in reversed(range(1, time)):"),
    _single("last step skipped", "(9)-(11)", _ALL, _LOOP, "for t in reversed(range(time - 1)):"),
    _single(
        "inputs reversed in time",
        "(9)",
        "dU takes the input of the same step: x_t^T delta_t",
        _DU,
        "dU += x[time - 1 - t].T @ delta",
    ),
    _single(
        "rows of dU swapped (bit order)",
        "(9)",
        "row i of dU belongs to input i",
        _DU,
        "dU += x[t][:, ::-1].T @ delta",
    ),
    _single(
        "bits most significant first",
        "(1)",
        "the sequence starts with the least significant bit: x[0] comes first",
        _SIZES,
        "x, y, time, batch, hidden = x[::-1], y[::-1], len(x), x.shape[1], len(W)",
    ),
    _single(
        "dW transposed",
        "(10)",
        "dW is h_{t-1}^T delta_t, in W's layout",
        _RETURN,
        "return dU, dW.T, dV",
    ),
    _single(
        "gradients clipped",
        "(9)-(11)",
        "return the gradients as they are; clip, if at all, in the update",
        _RETURN,
        "return np.clip(dU, -1, 1), np.clip(dW, -1, 1), np.clip(dV, -1, 1)",
    ),
    Mistake(
        "lower precision inside",
        "(2)",
        "give every buffer the dtype of the weights: np.zeros(..., dtype=W.dtype)",
        (
            (_Z, "z = np.zeros((time, batch, hidden), narrow[x.dtype])"),
            (_H, "h = np.zeros((time + 1, batch, hidden), narrow[x.dtype])"),
        ),
    ),
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
    source = _source()
    for mistake in mistakes:
        for right, wrong in mistake.changes:
            if source.count(right) != 1:
                raise ValueError(f"cannot plant {mistake.name!r}: {right!r} is not in textbook()")
            source = source.replace(right, wrong)
    return compile(source, "<textbook with mistakes>", "exec")


@cache
def _source() -> str:
    return inspect.getsource(textbook)
