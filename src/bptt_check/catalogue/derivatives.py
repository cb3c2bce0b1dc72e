"""Wrong forms of the derivative of an activation, and of the error of a softmax."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Contribution
from bptt_check.tracing.step import Alteration, Step, current, places, result_of, shifts, valued

#: Forms of the derivative of an activation, times g, at a value v.
FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "v (1 - v)": lambda g, v: g * v * (1 - v),
    "1 - v^2": lambda g, v: g * (1 - v * v),
    "1 - v": lambda g, v: g * (1 - v),
    "1 - 2 v": lambda g, v: g * (1 - 2 * v),
    "-v^2": lambda g, v: -g * v * v,
    "2 - v^2": lambda g, v: g * (2 - v * v),
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
    "v (2 - v)": lambda g, v: g * v * (2 - v),
    "v / (1 - v)": lambda g, v: g * v / (1 - v),
    "(1 - v) / v": lambda g, v: g * (1 - v) / v,
    "v + (1 - v), not v (1 - v)": lambda g, v: g * v + (1 - v),
    "1 - v, after v is added and not multiplied": lambda g, v: (g + v) * (1 - v),
    "1 / (v (1 - v))": lambda g, v: g / (v * (1 - v)),
    "(1 - v^2)^2": lambda g, v: g * (1 - v * v) ** 2,
    "(v (1 - v))^2": lambda g, v: g * (v * (1 - v)) ** 2,
    "1 - v^2 without its brackets": lambda g, v: g * 1 - v * v,
    "v - v^2 without its brackets": lambda g, v: g * v - v * v,
    "1 - v^2, added and not multiplied": lambda g, v: g + 1 - v * v,
    "v (1 - v), added and not multiplied": lambda g, v: g + v * (1 - v),
    "1 where v > 0": lambda g, v: g * (v > 0),
    "1 where v >= 0": lambda g, v: g * (v >= 0),
}


def derivatives(
    step: Step, user: int, ref: int, its_own: bool
) -> Iterator[tuple[str, int, Alteration]]:
    """The derivative of an activation in another form, at another value, or of another step.

    `its_own`: whether other quantities are known where the activation is computed.
    """
    node, result, operand = step.tape.nodes[user], step.name(user), step.name(ref)
    prefix = f"the derivative of {result}{f' = {node.op}(...)' if node.op not in result else ''}"
    sources: dict[str, Callable[[Contribution], Any]] = {
        "its value": lambda c: c.out,
        "its argument": lambda c: c.args[0],
    }
    for label, value in sources.items():
        for form, d in FORMS.items():
            text = f"{prefix} is taken as {form}, with v {label}"
            yield text, 2, _formed(d, value)
    if not its_own:
        return
    others = list(step.alike(np.shape(step.tape.values[user]), user, ref))
    values = [(label, current(get)) for label, get in others]
    for index, name in ((user, result), (ref, operand)):
        moved = valued(result_of(step.tape.nodes[index].site))
        values += [(f"{name} {label}", value) for label, value in shifts(moved)]
    if node.site in step.states:
        values += places(step, node.site, (1, -2))
    for label, value in values:
        for form in ("v (1 - v)", "1 - v^2", "v"):
            text = f"{prefix} is taken as {form}, with v {label}"
            yield text, 4, _formed(FORMS[form], value)
        text = f"{prefix} is taken as v (1 - w), with v {label}"
        yield text, 5, _mixed(value, lambda c: c.out)
        text = f"{prefix} is taken as v (1 - w), with w {label}"
        yield text, 5, _mixed(lambda c: c.out, value)


def _formed(d: Callable[[Any, Any], Any], value: Callable[[Contribution], Any]) -> Alteration:
    return lambda c: d(c.g, value(c))


def _mixed(v: Callable[[Contribution], Any], w: Callable[[Contribution], Any]) -> Alteration:
    return lambda c: c.g * v(c) * (1 - w(c))


def softmax_errors(axes: int, axis: int) -> Iterator[tuple[str, int, Alteration]]:
    """Wrong values for p - 1 at the target; g is -1 there."""
    yield "1 is added at the softmax's target, not subtracted", 2, lambda c: c.base() - 2 * c.g
    yield "2 is subtracted at the softmax's target", 3, lambda c: c.base() + c.g
    text = "1 is assigned, not subtracted, at the softmax's target"
    yield text, 3, lambda c: np.where(c.g != 0, -c.g, c.base())
    text = "1 is subtracted from every entry of the softmax, not only at the target"
    yield text, 2, lambda c: c.base() - c.g + c.g.sum(axis, keepdims=True)
    for text, normaliser in _NORMALISERS.items():
        yield f"the softmax is {text}", 3, _probabilities(axis, normaliser)
    slope = "the softmax's error is multiplied by p (1 - p)"
    yield slope, 2, lambda c: c.base() * np.exp(c.out) * (1 - np.exp(c.out))
    for wrong in set(range(axes)) - {axis % axes}:
        yield "1 is subtracted at the targets of all examples in every example", 2, _shared(wrong)
        text = f"the softmax is of logits from which their maximum over axis {wrong} is subtracted"
        yield text, 3, _probabilities(axis, _from_maximum(wrong))
        for sum_axis, words in ((wrong, f"over axis {wrong}"), (None, "over all axes")):
            text = f"the softmax of the error is normalised {words}"
            yield text, 3, _normalised(sum_axis, axis)


#: exp(a), given a, the logits minus their maximum, and the softmax's axis.
_NORMALISERS: dict[str, Callable[[Array, int], Array]] = {
    "divided by its maximum, not by its sum": lambda a, axis: np.exp(a),
    "divided by its mean, not by its sum": lambda a, axis: (
        np.exp(a) / np.exp(a).mean(axis, keepdims=True)
    ),
    "multiplied by its sum, not divided": lambda a, axis: (
        np.exp(a) * np.exp(a).sum(axis, keepdims=True)
    ),
}


def _from_maximum(wrong: int) -> Callable[[Array, int], Array]:
    def softmax(a: Array, axis: int) -> Array:
        e = np.exp(a - a.max(wrong, keepdims=True))
        return np.asarray(e / e.sum(axis, keepdims=True))

    return softmax


def _probabilities(axis: int, of: Callable[[Array, int], Array]) -> Alteration:
    """The softmax's error with other probabilities; of: the logits minus their maximum."""

    def alteration(c: Contribution) -> Array:
        a = c.args[0] - c.args[0].max(axis, keepdims=True)
        return np.asarray(c.g - of(a, axis) * c.g.sum(axis, keepdims=True))

    return alteration


def _shared(axis: int) -> Alteration:
    return lambda c: c.base() - c.g + c.g.min(axis, keepdims=True)


def _normalised(sum_axis: int | None, axis: int) -> Alteration:
    def alteration(c: Contribution) -> Array:
        e = np.exp(c.args[0] - c.args[0].max(sum_axis, keepdims=True))
        return np.asarray(c.g - e / e.sum(sum_axis, keepdims=True) * c.g.sum(axis, keepdims=True))

    return alteration
