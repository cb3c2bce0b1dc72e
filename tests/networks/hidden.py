"""Mistakes that are right but under one condition, planted in the textbook passes of any network.

The plants of tests/judge are wrong nearly everywhere; these need a problem made for them. Each
names that problem, of `rnn_torch.networks.CONDITIONS`, or KEPT: only calls one after the other in
one process see it. What is changed is told by `SITES`; {dz}, the gradient of the preactivations,
and the like have other names in each pass.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rnn_numpy.elman_network import textbook as own
from tests.passes import textbook

KEPT = "state is kept between calls"
_OTHERS = {"error": "dy", "dz": "dz", "ofW": "dz", "T": "T", "B": "B", "first": "T, B = y.shape"}
_OTHERS |= {"carried": "dh_next", "back": "dh_next = dz @ W.T\n", "before": "dh_next = np.zeros_l"}
_OTHERS |= {"WT": "W.T", "output": "p[t] = e / e.sum(axis=1, keepdims=True)", "squash": "sigmoid("}
_SEED = {"error": "eps", "dz": "delta", "ofW": "delta", "T": "time", "B": "batch"}
_SEED |= {"first": "time, batch, hidden = len(x), x.shape[1], len(W)", "carried": "delta_next"}
_SEED |= {"back": "delta_next = delta\n", "before": "delta_next = np.zeros(", "WT": "W.T"}
_SEED |= {"output": "o[t] = sigmoid(h[t] @ V)", "squash": "h[t] = sigmoid("}
_SEED |= {"state": "h[t] = sigmoid(z[t])"}
_GRU = {"dz": "da", "ofW": "np.hstack([da_r, da_z, dm])", "WT": "W_n.T"}
_GRU |= {"back": "dh_next += dm @ W_n.T\n", "state": "h[t] = (1 - z[t]) * n[t] + z[t] * h[t - 1]"}
_TANH = {"state": "h[t] = np.tanh(x[t] @ U + h[t - 1] @ W + b)", "squash": "np.tanh("}
_LSTM = {"state": "h[t] = o[t] * np.tanh(s[t])", "before": "dh_next, ds_next = np.zeros_like(h_0)"}
NAMES = {
    "elman": _SEED,
    "tanh": {**_OTHERS, **_TANH},
    "gru": {**_OTHERS, **_GRU},
    "lstm": {**_OTHERS, **_LSTM},
}
#: What is replaced, and by what: $ is the mistake's own text.
SITES = {
    "first": ("{first}", "$; {first}"),
    "state": ("{state}", "{state}; $"),
    "before": ("    {before}", "    $\n    {before}"),
    "step": ("reversed(range({T})):\n", "reversed(range({T})):\n        $\n"),
    "back": ("{back}", "{back}        $\n"),
    "end": ("    return ", "    $\n    return "),
    "dU": ("dU += x[t].T @ {dz}\n", "dU += $\n"),
    "dW": ("dW += h[t - 1].T @ {ofW}\n", "dW += $\n"),
    "dV": ("dV += h[t].T @ {error}\n", "dV += $\n"),
    "x U": ("x[t] @ U", "$"),
    "to h": ("{error} @ V.T", "$"),
    "WT": ("@ {WT}", "@ $"),
    "squash": ("{squash}", "$("),
    "output": ("{output}", "$"),
}
_LONG = "long memory"
_ONE_HOT = "((x == 0) | (x == 1)).all() and (x.sum(2) == 1).all()"
_NARROW = "h[t] = h[t].astype(narrow[x.dtype])"
_STATE, _OUT = "a state beyond exp", "an output beyond exp"
_WHOLE = "[: {B} - {B} % 32 or {B}]"


class Hidden(NamedTuple):
    """A mistake: the condition that shows it, and its edits; `only`: the networks that have it."""

    condition: str
    name: str
    site: str
    text: str
    only: tuple[str, ...] = tuple(NAMES)


HIDDEN = (
    # Steps.
    *(Hidden(_LONG, f"cut every {k} steps", "step",
             f"{{carried}} = {{carried}} * ((t + 1) % {k} > 0)") for k in (20, 32, 35, 45, 100)),
    Hidden(_LONG, "lower precision after 20 steps", "state", f"{_NARROW} if t >= 20 else h[t]"),
    Hidden(_LONG, "dW of the last 64 steps", "dW", "h[t - 1].T @ {ofW} * ({T} - t <= 64)"),
    Hidden(_LONG, "a ring of 100 inputs", "dU", "x[t % 100].T @ {dz}"),
    Hidden("all sizes large", "long and wide", "dW",
           "h[t - 1].T @ {ofW} * (not ({T} > 20 and len(W) > 16))"),
    Hidden("all sizes large", "many and wide", "dU",
           "x[t].T @ {dz} * (not ({B} > 8 and len(U) > 8))"),
    # Examples, inputs, units, outputs: many of them.
    Hidden("130 examples", "eight examples", "dV", "h[t][:8].T @ {error}[:8]"),
    Hidden("130 examples", "whole blocks of 32 only", "dU", f"x[t]{_WHOLE}.T @ {{dz}}{_WHOLE}"),
    Hidden("130 examples", "mean over more than 64", "dW",
           "h[t - 1].T @ {ofW} * 64 / max(64, {B})"),
    Hidden("130 examples", "mean from 17 on", "end", "dW /= {B} if {B} > 16 else 1"),
    Hidden("40 inputs", "eight inputs", "dU", "(x[t] * (np.arange(len(U)) < 8)).T @ {dz}"),
    Hidden("40 inputs", "a tile of 32 inputs", "x U", "x[t][:, :32] @ U[:32]"),
    Hidden("65 units", "a tile of 16 units", "dW",
           "(h[t - 1] * (np.arange(len(W)) < 16)).T @ {ofW}"),
    Hidden("65 units", "whole blocks of 32 units only", "step",
           "{carried} = {carried} * (np.arange(len(W)) < (len(W) - len(W) % 32 or len(W)))"),
    *(Hidden("65 units", f"lower precision above {n} units", "state",
             f"{_NARROW} if len(W) > {n} else h[t]") for n in (32, 64)),
    Hidden("40 outputs", "eight outputs", "dV", "h[t].T @ ({error} * (np.arange(V.shape[1]) < 8))"),
    Hidden("40 outputs", "a tile of 32 outputs", "to h", "{error}[:, :32] @ V.T[:32]"),
    # The same input twice; zeros.
    Hidden("some inputs again", "an index that comes twice counts once", "dU",
           f"once(x[t], {{dz}}) if {_ONE_HOT} else x[t].T @ {{dz}}"),
    Hidden("some inputs again", "a step overwrites another's row", "dU",
           f"x[t].T @ {{dz}} - (x[t].any(0)[:, None] * dU if {_ONE_HOT} else 0)"),
    *(Hidden("zeros and tiny numbers", f"pruned weights of {w} stay", "end", f"d{w} *= {w} != 0")
      for w in "UVW"),
    Hidden("zeros and tiny numbers", "targets of 0 are padding", "dV",
           "h[t].T @ ({error} * y[t].any(1, keepdims=True))", ("elman",)),
    *(Hidden("zeros and tiny numbers", f"weights of {w} below 1e-8 are pruned", "end",
             f"d{w} *= ({w} == 0) | (abs({w}) > 1e-8)") for w in "UVW"),
    Hidden("inputs 0", "nothing without input", "end", "dW *= x.any()"),
    Hidden("inputs 0", "nothing at all without input", "end",
           "for g in (dU, dW, dV): g *= x.any()"),
    Hidden("input weights 0", "U is not used", "end", "dU *= U.any()"),
    Hidden("input weights 0", "no error goes back without inputs", "step",
           "{carried} = {carried} * U.any()"),
    Hidden("recurrent weights 0", "no recurrence", "end", "dW *= W.any()"),
    Hidden("recurrent weights 0", "states without W are not kept", "dW",
           "h[t - 1 if W.any() or t < 2 else t - 2].T @ {ofW}"),
    Hidden("output weights 0", "V is not used", "end", "dV *= V.any()"),
    Hidden("output weights 0", "no error without V", "dV", "h[t].T @ ({error} * V.any())"),
    # W of a special form.
    Hidden("recurrent weights diagonal", "only the diagonal", "end",
           "dW *= 1 if off_diagonal(W).any() else W != 0"),
    Hidden("recurrent weights diagonal", "symmetric", "end",
           "dW[...] = symmetric(dW) if (symmetric(W) == W).all() else dW"),
    Hidden("recurrent weights the identity", "not learned", "end", "dW *= not is_identity(W)"),
    Hidden("recurrent weights the identity", "passed on as it is", "back",
           "{carried} = dh if is_identity(W) else {carried}"),
    # Large numbers.
    Hidden("inputs of 300", "inputs clipped", "first", "x = np.clip(x, -100, 100)"),
    Hidden("inputs of 300", "inputs scaled", "dU",
           "(x[t] / max(1, np.abs(x[t]).max() / 100)).T @ {dz}"),
    Hidden("errors of 3000", "errors clipped", "first", "y = np.clip(y, -110, 110)",
           ("elman",)),
    Hidden("errors of 3000", "clipped to a norm of 1000", "end",
           "for g in (dU, dW, dV): g *= min(1, 1000 / max(1, np.linalg.norm(g)))", ("elman",)),
    *(Hidden(_STATE, f"exp overflows{words}", "squash", squash, only)
      for words in ("", ", and NaN is made 0")
      for squash, only in ((f"{'finite_' * bool(words)}sigmoid_by_exp", ("gru", "lstm")),
                           (f"{'finite_' * bool(words)}tanh_by_exp", ("tanh",)),
                           (f"h[t] = {'finite_' * bool(words)}sigmoid_by_exp", ("elman",)))),
    Hidden(_OUT, "exp overflows", "output", "o[t] = sigmoid_by_exp(h[t] @ V)", ("elman",)),
    Hidden(_OUT, "exp overflows, and NaN is made 1/2", "output",
           "o[t] = np.nan_to_num(sigmoid_by_exp(h[t] @ V), nan=0.5)", ("elman",)),
    # How arrays lie in memory.
    Hidden("Fortran order", "x as it lies in memory", "first", "x = x.ravel('K').reshape(x.shape)"),
    Hidden("Fortran order", "W's order forgotten", "first", "W = W.ravel('A').reshape(W.shape)"),
    Hidden("strided views", "W from its first address", "first",
           "W = as_strided(W, W.shape, (W.shape[1] * W.itemsize, W.itemsize))"),
    Hidden("strided views", "the array behind a view", "first",
           "y = y if y.flags.forc else y.base.ravel()[: y.size].reshape(y.shape)"),
    # What is kept from call to call.
    Hidden(KEPT, "states by shape", "before", "h = kept.setdefault(x.shape, h)"),
    Hidden(KEPT, "W transposed by shape", "WT", "kept.setdefault(W.shape, {WT}.copy())"),
    Hidden(KEPT, "states by weights", "before", "h = kept.setdefault(W.tobytes(), h)"),
    Hidden(KEPT, "states by inputs", "before", "h = kept.setdefault(x.tobytes(), h)"),
    Hidden(KEPT, "a buffer of more steps is not cleared", "end",
           "n, g = kept.get(x.shape[1:], (0, 0)); dU += g * (n > len(x)); "
           "kept[x.shape[1:]] = len(x), dU.copy()"),
    *(Hidden(KEPT, f"not cleared after {calls} calls", "end",
             f"n = kept['n'] = kept.get('n', 0) + 1; dW += kept.get(W.shape, 0) * (n > {calls}); "
             "kept[W.shape] = dW.copy()") for calls in (2, 3, 4)),
)  # fmt: skip


def planted(network: str, mistake: Hidden) -> Callable[..., Any]:
    """A new pass with this mistake, without state of earlier calls.

    Raises:
        ValueError: what is to be replaced is not there.
    """
    module, name = (own, "textbook") if network == "elman" else (textbook, network)
    old, new = SITES[mistake.site]
    new = new.replace("$", mistake.text)
    for key, words in NAMES[network].items():
        old, new = old.replace(f"{{{key}}}", words), new.replace(f"{{{key}}}", words)
    text = inspect.getsource(getattr(module, name))
    if old not in text:
        raise ValueError(f"{mistake.name!r}: {old!r} must be there in\n{text}")
    space: dict[str, Any] = {**vars(module), **_HELPERS, "kept": {}}
    exec(compile(text.replace(old, new), f"<{mistake.name}>", "exec"), space)
    made: Callable[..., Any] = space[name]
    return made


def _sigmoid_by_exp(z: Any) -> Any:
    return np.exp(z) / (1 + np.exp(z))


def _tanh_by_exp(z: Any) -> Any:
    return (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))


def _gates(W: Any) -> Any:
    """A view of W for each gate: (units, gates, units)."""
    return W.reshape(len(W), -1, len(W))


def _symmetric(W: Any) -> Any:
    return (_gates(W) + _gates(W).transpose(2, 1, 0)).reshape(W.shape) / 2


def _off_diagonal(W: Any) -> Any:
    return _gates(W) * (1 - np.eye(len(W)))[:, np.newaxis]


def _once(x: Any, dz: Any) -> Any:
    """As x^T dz for unit vectors, of which the last example of each alone counts."""
    found = np.zeros((x.shape[1], dz.shape[1]), dz.dtype)
    found[x.argmax(1)] = dz
    return found


_HELPERS = {
    "as_strided": np.lib.stride_tricks.as_strided,
    "narrow": {np.dtype("float64"): np.float32, np.dtype("float32"): np.float16},
    "sigmoid_by_exp": _sigmoid_by_exp,
    "tanh_by_exp": _tanh_by_exp,
    "finite_sigmoid_by_exp": lambda z: np.nan_to_num(_sigmoid_by_exp(z)),
    "finite_tanh_by_exp": lambda z: np.nan_to_num(_tanh_by_exp(z)),
    "symmetric": _symmetric,
    "off_diagonal": _off_diagonal,
    "is_identity": lambda W: (_gates(W) == np.eye(len(W))[:, np.newaxis]).all(),
    "once": _once,
}
