"""Wrong passes that are right but under one condition: the textbook pass with a line changed.

The catalogue of `tests.passes.elman_mistakes` is wrong nearly everywhere; these need a problem
made for them. Each names that problem, of `rnn_torch.elman_by_hand.problems.CONDITIONS`, or KEPT:
only calls one after the other in one process see it.
"""

from rnn_numpy.elman_network import mistakes as lines
from tests.passes.elman_mistakes import Mistake

KEPT = "state is kept between calls"
_H_T, _O_T = "h[t] = sigmoid(z[t])", "o[t] = sigmoid(h[t] @ V)"
_Z_T = "z[t] = x[t] @ U + h[t - 1] @ W"
_ZEROS = lines._BUFFERS.split(" = ")[1]
_ONE_HOT = "((x == 0) | (x == 1)).all() and (x.sum(2) == 1).all()"


def _hidden(condition: str, name: str, *changes: tuple[str, str]) -> tuple[str, Mistake]:
    return condition, Mistake(name, "", "", changes)


def _only(condition: str, name: str, line: str, factor: str) -> tuple[str, Mistake]:
    """A term of the sums (9)-(11) multiplied by a factor."""
    return _hidden(condition, name, (line, f"{line} * x.dtype.type({factor})"))


def _returned(condition: str, name: str, *gradients: str) -> tuple[str, Mistake]:
    return _hidden(condition, name, (lines._RETURN, f"return {', '.join(gradients)}"))


def _inputs(condition: str, name: str, statement: str) -> tuple[str, Mistake]:
    return _hidden(condition, name, (lines._SIZES, f"{statement}; {lines._SIZES}"))


def _kept(name: str, statement: str, *changes: tuple[str, str]) -> tuple[str, Mistake]:
    return _hidden(KEPT, name, (lines._BUFFERS, f"{lines._BUFFERS}; {statement}"), *changes)


def _not_cleared(calls: int) -> tuple[str, Mistake]:
    count = "n = buffers['n'] = buffers.get('n', 0) + 1; key = U.shape, V.shape, x.dtype"
    kept = f"buffers[key] if n > {calls} and key in buffers else [{_ZEROS}]"
    changed = f"{count}; dU, dW, dV = buffers[key] = {kept}"
    return _hidden(KEPT, f"not cleared after {calls} calls", (lines._BUFFERS, changed))


HIDDEN = (
    # Steps.
    *(("long memory", lines._truncated(k)) for k in (20, 35, 100)),
    ("long memory", lines._cut(32)),
    _hidden("long memory", "lower precision after 20 steps",
            (_H_T, "h[t] = sigmoid(z[t].astype(narrow[x.dtype]) if t >= 20 else z[t])")),
    _only("long memory", "dW of the last 64 steps", lines._DW, "time - t <= 64"),
    _hidden("long memory", "a ring of 100 inputs", (lines._DU, "dU += x[t % 100].T @ delta")),
    # Examples, inputs, hidden units, outputs: many of them.
    _hidden("130 examples", "four examples", (lines._DV, "dV += h[t][:4].T @ eps[:4]")),
    _hidden("130 examples", "whole blocks of 32 examples only",
            (lines._DU, "n = batch - batch % 32 or batch; dU += x[t][:n].T @ delta[:n]")),
    _only("130 examples", "mean over more than 64", lines._DW, "64 / max(64, batch)"),
    _hidden("40 inputs", "eight inputs", (lines._DU, "dU[:8] += x[t][:, :8].T @ delta")),
    _hidden("40 inputs", "a tile of 32 inputs",
            (_Z_T, "z[t] = x[t][:, :32] @ U[:32] + h[t - 1] @ W")),
    _hidden("40 hidden units", "a tile of 16 units",
            (lines._DW, "dW[:16] += h[t - 1][:, :16].T @ delta")),
    _hidden("40 hidden units", "whole blocks of 32 units only",
            (lines._DH, "n = hidden - hidden % 32 or hidden; "
                        "dh = eps @ V.T + delta_next[:, :n] @ W.T[:n]")),
    _hidden("40 hidden units", "lower precision above 32 units",
            (_H_T, "h[t] = sigmoid(z[t].astype(narrow[x.dtype] if hidden > 32 else x.dtype))")),
    _hidden("40 outputs", "four outputs", (lines._DV, "dV[:, :4] += h[t].T @ eps[:, :4]")),
    _hidden("40 outputs", "a tile of 32 outputs",
            (lines._DH, "dh = eps[:, :32] @ V.T[:32] + delta_next @ W.T")),
    _only("all sizes large", "long and wide", lines._DW, "not (time > 20 and hidden > 16)"),
    _only("all sizes large", "many and wide", lines._DU, "not (batch > 8 and len(U) > 8)"),
    # The same input twice; zeros.
    _hidden("one-hot inputs again", "an index that comes twice counts once",
            (lines._DU, f"if {_ONE_HOT}: dU[x[t].argmax(1)] += delta\n"
                        f"        else: {lines._DU}")),
    _hidden("one-hot inputs again", "a step overwrites another's row",
            (lines._DU, f"if {_ONE_HOT}: dU[x[t].argmax(1)] = delta\n"
                        f"        else: {lines._DU}")),
    _returned("some zeros", "pruned weights of V stay", "dU", "dW", "dV * (V != 0)"),
    _returned("some zeros", "pruned weights of W stay", "dU", "dW * (W != 0)", "dV"),
    _returned("some zeros", "pruned weights of U stay", "dU * (U != 0)", "dW", "dV"),
    _returned("inputs of 0", "nothing without input", "dU", "dW * x.any()", "dV"),
    _returned("inputs of 0", "nothing at all without input",
              "*[g * x.any() for g in (dU, dW, dV)],"),
    _returned("U of 0", "U is not used", "dU * U.any()", "dW", "dV"),
    _hidden("U of 0", "no error goes back without inputs",
            (lines._NEXT, "delta_next = delta * U.any()")),
    _returned("W of 0", "no recurrence", "dU", "dW * W.any()", "dV"),
    _hidden("W of 0", "states without W are not kept",
            (lines._DW, "dW += h[t - 1 if W.any() else -1].T @ delta")),
    _returned("V of 0", "V is not used", "dU", "dW", "dV * V.any()"),
    _hidden("V of 0", "no error without V", (lines._EPS, f"{lines._EPS} * V.any()")),
    # W of a special form.
    _returned("diagonal W", "only the diagonal",
              "dU", "dW * (W != 0) if (W == np.diag(np.diag(W))).all() else dW", "dV"),
    _returned("diagonal W", "symmetric", "dU", "(dW + dW.T) / 2 if (W == W.T).all() else dW", "dV"),
    _returned("W the identity", "not learned", "dU", "dW * (W != np.eye(hidden)).any()", "dV"),
    _hidden("W the identity", "passed on as it is",
            (lines._NEXT, "delta_next = delta if (W != np.eye(hidden)).any() else dh")),
    # Large numbers.
    _inputs("inputs of 300", "inputs clipped", "x = np.clip(x, -100, 100)"),
    _hidden("inputs of 300", "inputs scaled",
            (lines._DU, "dU += (x[t] / max(1, np.abs(x[t]).max() / 100)).T @ delta")),
    _hidden("targets of 3,000", "errors clipped",
            (lines._EPS, "eps = np.clip(o[t] - y[t], -110, 110) * o[t] * (1 - o[t])")),
    _returned("targets of 3,000", "clipped to a norm of 1,000",
              "*[g * min(1, 1000 / max(1, np.linalg.norm(g))) for g in (dU, dW, dV)],"),
    _hidden("a state beyond exp", "exp overflows",
            (_H_T, "h[t] = np.exp(z[t]) / (1 + np.exp(z[t]))")),
    _hidden("a state beyond exp", "exp overflows, and NaN is made 0",
            (_H_T, "h[t] = np.nan_to_num(np.exp(z[t]) / (1 + np.exp(z[t])))")),
    _hidden("an output beyond exp", "exp overflows",
            (_O_T, "e = np.exp(h[t] @ V); o[t] = e / (1 + e)")),
    _hidden("an output beyond exp", "exp overflows, and NaN is made 1/2",
            (_O_T, "e = np.exp(h[t] @ V); o[t] = np.nan_to_num(e / (1 + e), nan=0.5)")),
    # How arrays lie in memory.
    _inputs("Fortran order", "x as it lies in memory", "x = x.ravel('K').reshape(x.shape)"),
    _inputs("Fortran order", "W's order forgotten",
            "W = W if W.flags.c_contiguous or not W.flags.f_contiguous else W.T"),
    _inputs("strided views", "W from its first address",
            "W = np.lib.stride_tricks.as_strided(W, W.shape, (len(W) * W.itemsize, W.itemsize))"),
    _inputs("strided views", "the array behind a view",
            "y = y if y.flags.forc else y.base[: y.size].reshape(y.shape)"),
    # What is kept from call to call.
    _kept("states by shape", "h = buffers.setdefault(x.shape, h)"),
    _kept("W transposed by shape", "kept = buffers.setdefault(W.shape, W.T.copy())",
          (lines._DH, "dh = eps @ V.T + delta_next @ kept")),
    _kept("states by weights", "h = buffers.setdefault(W.tobytes(), h)"),
    _kept("states by inputs", "h = buffers.setdefault(x.tobytes(), h)"),
    *map(_not_cleared, (2, 3, 4)),
)  # fmt: skip
