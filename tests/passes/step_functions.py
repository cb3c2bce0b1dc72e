"""The same passes as a course's assignment has them: `step_forward` returns a cache for its
`step_backward`; every gate has its own weights, and examples are columns.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

Array = np.ndarray
Gradients = dict[str, Array]
Weights = dict[str, Array]


def tanh(
    x: Array, h_0: Array, U: Array, W: Array, b: Array, y: Array, V: Array, c: Array
) -> Gradients:
    weights = {"U": U.T, "W": W.T, "b": b[:, np.newaxis]}
    found = _unrolled(_tanh_forward, _tanh_backward, weights, x, (h_0.T,), y, V, c)
    dx, (dh_0,), d, output = found
    return {"dx": dx, "dh_0": dh_0.T, "dU": d["U"].T, "dW": d["W"].T, "db": d["b"][:, 0], **output}


def gru(
    x: Array, h_0: Array, U: Array, W: Array, b: Array, d: Array, y: Array, V: Array, c: Array
) -> Gradients:
    weights = {**_per_gate("rzn", U, W, b), "d": d[:, np.newaxis]}
    found = _unrolled(_gru_forward, _gru_backward, weights, x, (h_0.T,), y, V, c)
    dx, (dh_0,), its, output = found
    return {"dx": dx, "dh_0": dh_0.T, **_side_by_side("rzn", its), "dd": its["d"][:, 0], **output}


def lstm(
    x: Array, h_0: Array, c_0: Array, U: Array, W: Array, b: Array, y: Array, V: Array, c: Array
) -> Gradients:
    weights = _per_gate("ifgo", U, W, b)
    found = _unrolled(_lstm_forward, _lstm_backward, weights, x, (h_0.T, c_0.T), y, V, c)
    dx, (dh_0, dc_0), its, output = found
    return {"dx": dx, "dh_0": dh_0.T, "dc_0": dc_0.T, **_side_by_side("ifgo", its), **output}


def _tanh_forward(w: Weights, x: Array, states: tuple[Array, ...]) -> tuple[Any, Any]:
    (h,) = states
    new = np.tanh(w["U"] @ x + w["W"] @ h + w["b"])
    return (new,), (x, h, new)


def _tanh_backward(w: Weights, cache: Any, d_states: Any) -> tuple[Array, Any, Weights]:
    x, h, new = cache
    dz = (1 - new**2) * d_states[0]
    return w["U"].T @ dz, (w["W"].T @ dz,), _affine(dz, U=x, W=h, b=1)


def _gru_forward(w: Weights, x: Array, states: tuple[Array, ...]) -> tuple[Any, Any]:
    (h,) = states
    r, z = (_sigmoid(_preactivation(w, gate, x, h)) for gate in "rz")
    candidate = w["W_n"] @ h + w["d"]
    n = np.tanh(w["U_n"] @ x + w["b_n"] + r * candidate)
    return ((1 - z) * n + z * h,), (x, h, r, z, n, candidate)


def _gru_backward(w: Weights, cache: Any, d_states: Any) -> tuple[Array, Any, Weights]:
    x, h, r, z, n, candidate = cache
    (dh,) = d_states
    dz = {"n": dh * (1 - z) * (1 - n**2), "z": dh * (h - n) * z * (1 - z)}
    dz["r"] = dz["n"] * candidate * r * (1 - r)
    d_candidate = dz["n"] * r
    d = _affine(dz["n"], U_n=x, b_n=1) | _affine(d_candidate, W_n=h, d=1)
    for gate in "rz":
        d |= _affine(dz[gate], **{f"U_{gate}": x, f"W_{gate}": h, f"b_{gate}": 1})
    dx = sum(w[f"U_{gate}"].T @ dz[gate] for gate in "rzn")
    back = [w["W_n"].T @ d_candidate, w["W_r"].T @ dz["r"], w["W_z"].T @ dz["z"], dh * z]
    return np.asarray(dx), (sum(back),), d


def _lstm_forward(w: Weights, x: Array, states: tuple[Array, ...]) -> tuple[Any, Any]:
    h, s = states
    i, f, o = (_sigmoid(_preactivation(w, gate, x, h)) for gate in "ifo")
    g = np.tanh(_preactivation(w, "g", x, h))
    new = f * s + i * g
    return (o * np.tanh(new), new), (x, h, s, i, f, g, o, np.tanh(new))


def _lstm_backward(w: Weights, cache: Any, d_states: Any) -> tuple[Array, Any, Weights]:
    x, h, s, i, f, g, o, squashed = cache
    dh, ds = d_states
    ds = ds + dh * o * (1 - squashed**2)
    dz = {
        "i": ds * g * i * (1 - i),
        "f": ds * s * f * (1 - f),
        "g": ds * i * (1 - g**2),
        "o": dh * squashed * o * (1 - o),
    }
    dx = sum(w[f"U_{gate}"].T @ dz[gate] for gate in "ifgo")
    dh = sum(w[f"W_{gate}"].T @ dz[gate] for gate in "ifgo")
    d: Weights = {}
    for gate in "ifgo":
        d |= _affine(dz[gate], **{f"U_{gate}": x, f"W_{gate}": h, f"b_{gate}": 1})
    return np.asarray(dx), (dh, ds * f), d


def _unrolled(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    weights: Weights,
    x: Array,
    states: tuple[Array, ...],
    y: Array,
    V: Array,
    c: Array,
) -> tuple[Array, Any, Weights, Gradients]:
    """A cell over all steps, with a softmax layer on its first state."""
    caches, errors, dV, dc = [], [], [], []
    for x_t, y_t in zip(x, y, strict=True):
        states, cache = forward(weights, x_t.T, states)
        caches.append(cache)
        error = _softmax_error(np.einsum("ho,hn->on", V, states[0]) + c[:, np.newaxis], y_t)
        errors.append(np.einsum("ho,on->hn", V, error))
        dV.append(np.einsum("hn,on->ho", states[0], error))
        dc.append(np.einsum("on->o", error))
    d_states = tuple(np.zeros_like(state) for state in states)
    dx, d_weights = [], []
    for error, cache in zip(reversed(errors), reversed(caches), strict=True):
        dx_t, d_states, d = backward(weights, cache, (error + d_states[0], *d_states[1:]))
        dx.append(dx_t.T)
        d_weights.append(d)
    summed = {name: reduce(np.add, [d[name] for d in d_weights]) for name in weights}
    return np.stack(dx[::-1]), d_states, summed, {"dV": sum(dV), "dc": sum(dc)}


def _softmax_error(logits: Array, y_t: Array) -> Array:
    e = np.exp(logits - logits.max(axis=0))
    target = np.equal.outer(np.arange(len(logits)), y_t).astype(logits.dtype)
    error: Array = e / e.sum(axis=0) - target
    return error


def _affine(dz: Array, **inputs: Any) -> Weights:
    """The gradients of weights that multiply these inputs; the input of a bias is 1."""
    return {
        name: dz.sum(axis=1, keepdims=True) if isinstance(v, int) else np.einsum("gn,in->gi", dz, v)
        for name, v in inputs.items()
    }


def _preactivation(w: Weights, gate: str, x: Array, h: Array) -> Array:
    return w[f"U_{gate}"] @ x + w[f"W_{gate}"] @ h + w[f"b_{gate}"]


def _per_gate(gates: str, U: Array, W: Array, b: Array) -> Weights:
    """The weights of each gate, for examples in columns."""
    whole = {"U": U.T, "W": W.T, "b": b[:, np.newaxis]}
    return {
        f"{name}_{gate}": part
        for name, matrix in whole.items()
        for gate, part in zip(gates, np.split(matrix, len(gates)), strict=True)
    }


def _side_by_side(gates: str, d: Weights) -> Gradients:
    dU, dW, db = (np.concatenate([d[f"{n}_{gate}"] for gate in gates]).T for n in "UWb")
    return {"dU": dU, "dW": dW, "db": db[0]}


def _sigmoid(a: Array) -> Array:
    positive = np.exp(-np.abs(a))
    s: Array = np.where(a < 0, positive, 1) / (1 + positive)
    return s
