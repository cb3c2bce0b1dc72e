"""What people write for the derivative of an activation, and for the error of a softmax."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.reverse import At
from rnn_torch.tracing.step import Alteration, Step, now, result_of, shifts, valued

#: Of an activation, at a value v.
FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "v (1 - v)": lambda g, v: g * v * (1 - v),
    "1 - v^2": lambda g, v: g * (1 - v * v),
    "1 - v": lambda g, v: g * (1 - v),
    "(1 - v)^2": lambda g, v: g * (1 - v) ** 2,
    "v (1 + v)": lambda g, v: g * v * (1 + v),
    "v": lambda g, v: g * v,
    "v^2": lambda g, v: g * v * v,
    "1 + v^2": lambda g, v: g * (1 + v * v),
    "sigmoid(v)": lambda g, v: g / (1 + np.exp(-v)),
    "sigmoid'(v)": lambda g, v: g / (2 + np.exp(v) + np.exp(-v)),
    "tanh(v)": lambda g, v: g * np.tanh(v),
    "tanh'(v)": lambda g, v: g * (1 - np.tanh(v) ** 2),
    "1 / (1 - v^2)": lambda g, v: g / (1 - v * v),
    "1 / (v (1 - v))": lambda g, v: g / (v * (1 - v)),
    "(1 - v^2)^2": lambda g, v: g * (1 - v * v) ** 2,
    "(v (1 - v))^2": lambda g, v: g * (v * (1 - v)) ** 2,
    "1 - v^2 without its brackets": lambda g, v: g * 1 - v * v,
    "v - v^2 without its brackets": lambda g, v: g * v - v * v,
    "1 where v > 0": lambda g, v: g * (v > 0),
    "1 where v >= 0": lambda g, v: g * (v >= 0),
}


def derivatives(step: Step, user: int, ref: int) -> Iterator[tuple[str, int, Alteration]]:
    """Of an activation: another form, at another value, of another step."""
    node, its, into = step.tape.nodes[user], step.name(user), step.name(ref)
    of = f"the derivative of {its}{f' = {node.op}(...)' if node.op not in its else ''}"
    own: dict[str, Callable[[At], Any]] = {
        "its value": lambda at: at.out,
        "its argument": lambda at: at.args[0],
    }
    for what, value in own.items():
        for form, d in FORMS.items():
            text = f"{of} is taken as {form}, with v {what}"
            yield text, 2, _formed(d, value)
    others = list(step.alike(np.shape(step.tape.values[user]), user, ref))
    taken = [(label, now(get)) for label, get in others]
    for index, name in ((user, its), (ref, into)):
        moved = valued(result_of(step.tape.nodes[index].site))
        taken += [(f"{name} {label}", value) for label, value in shifts(moved)]
    for label, value in taken:
        for form in ("v (1 - v)", "1 - v^2", "v"):
            text = f"{of} is taken as {form}, with v {label}"
            yield text, 4, _formed(FORMS[form], value)
        text = f"{of} is taken as v (1 - w), with v {label}"
        yield text, 5, _mixed(value, lambda at: at.out)
        text = f"{of} is taken as v (1 - w), with w {label}"
        yield text, 5, _mixed(lambda at: at.out, value)


def _formed(d: Callable[[Any, Any], Any], value: Callable[[At], Any]) -> Alteration:
    return lambda at: d(at.g, value(at))


def _mixed(v: Callable[[At], Any], w: Callable[[At], Any]) -> Alteration:
    return lambda at: at.g * v(at) * (1 - w(at))


def softmax_errors(axes: int, axis: int) -> Iterator[tuple[str, int, Alteration]]:
    """What stands for p - 1 at the target; at.g is -1 there."""
    yield "1 is added at the softmax's target, not subtracted", 2, lambda at: at.base() - 2 * at.g
    every = "1 is subtracted from every entry of the softmax, not at the target alone"
    yield every, 2, lambda at: at.base() - at.g + at.g.sum(axis, keepdims=True)
    slope = "the softmax's error is multiplied by p (1 - p)"
    yield slope, 2, lambda at: at.base() * np.exp(at.out) * (1 - np.exp(at.out))
    for other in set(range(axes)) - {axis % axes}:
        yield "1 is subtracted at the targets of all examples in every example", 2, _shared(other)
        for over, words in ((other, f"over axis {other}"), (None, "over all axes together")):
            text = f"the softmax of the error is normalised {words}"
            yield text, 3, _normalised(over, axis)


def _shared(axis: int) -> Alteration:
    return lambda at: at.base() - at.g + at.g.min(axis, keepdims=True)


def _normalised(over: int | None, axis: int) -> Alteration:
    def alteration(at: At) -> Array:
        e = np.exp(at.args[0] - at.args[0].max(over, keepdims=True))
        return np.asarray(at.g - e / e.sum(over, keepdims=True) * at.g.sum(axis, keepdims=True))

    return alteration
