"""Call a backward pass twice with copies of the same inputs, and note its side effects.

Each input is passed as the parameter of its name; an input that is no parameter is set as an
attribute of the pass's object, or as a global of its file. If the parameters have other names, all
inputs are passed by position. The sizes of the axes, the rate of an update, and `parameters` or
`params`, a mapping of all inputs, are passed and set in the same way.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from rnn_numpy.isolation.placing import LEFT_OUT, globals_of, made
from rnn_numpy.isolation.returned import Refused, by_name, named

__all__ = ["Called", "Form", "Passes", "Question", "Refused", "call", "laid_out"]

_RATES = ("learning_rate", "learn_rate", "lr", "alpha", "eta", "rate")
_TOGETHER = ("parameters", "params")


class Form(NamedTuple):
    """The inputs and the results of a backward pass, as values that JSON can represent.

    `inputs`: their names, in order. `gradients`: the inputs of which it may return a gradient, in
    order; `required`: those of which it must. `rate`: if given, the pass returns nothing and
    subtracts the gradients times this number from its inputs.
    """

    inputs: Sequence[str]
    gradients: Sequence[str]
    required: Sequence[str] = ()
    rate: float | None = None


class Question(NamedTuple):
    """The inputs of one call, by name, and the sizes of the axes, for parameters named so."""

    inputs: Mapping[str, Any]
    sizes: Mapping[str, int] = {}


class Called(NamedTuple):
    """The result of two calls with the same inputs."""

    arrays: dict[str, Any]  # the gradients in float64: "first.U" ... "second.V"
    impure: list[str]  # the side effects, in words
    bits: int  # width of the narrowest floating-point type among the gradients
    loss: float | None = None  # the loss, if the pass returns it


def laid_out(array: Any, strides: Sequence[int]) -> Any:
    """A copy with these strides, in bytes, and the number 3 between the entries.

    It is C-contiguous if a stride is negative, zero or not a multiple of the item size.
    """
    copy = array.copy()
    if copy.strides == tuple(strides) or any(s <= 0 or s % array.itemsize for s in strides):
        return copy
    last = sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True)) // array.itemsize
    memory = np.full(last + 1, 3, array.dtype)
    apart: Any = np.ndarray(array.shape, array.dtype, memory, strides=tuple(strides))
    apart[...] = array
    return apart


def call(function: Any, form: Form, question: Question, *before: Question) -> Called:
    """Call the function twice with copies of the same inputs, which keep their memory layout.

    Args:
        function: a function, or `Passes`.
        form: its inputs and results.
        before: the inputs of earlier calls, in this order; their results are ignored.

    Raises:
        Refused: the function takes other arguments, or returns something else.
        Exception: whatever the function raises.
    """
    for earlier_question in before:
        _invoke(function, form, _copies(earlier_question.inputs), earlier_question.sizes)
    impure: list[str] = []
    answers: dict[str, Any] = {}
    earlier: dict[str, Any] = {}
    overwritten: list[str] = []
    loss = None
    for which in ("first", "second"):
        given = _copies(question.inputs)
        returned, loss = _invoke(function, form, given, question.sizes)
        for name, array in question.inputs.items():
            changed = not np.array_equal(given[name], array, equal_nan=True)
            if changed and which == "first" and form.rate is None:
                impure.append(f"{name} is changed in place")
        seen: dict[str, Any] = {}
        for name, array in returned.items():
            answers[f"{which}.{name}"] = np.array(array, np.float64, order="C")
            for other, buffer in {**seen, **given}.items():
                if which == "first" and np.shares_memory(array, buffer):
                    impure.append(f"d{name} shares its memory with {other}")
            seen[f"d{name}"] = array
        for name, array in earlier.items():
            if not np.array_equal(array, answers[f"first.{name}"], equal_nan=True):
                overwritten.append(f"d{name}")
        earlier = dict(returned)
    if overwritten:
        impure.append(f"a second call overwrites results of the first: {', '.join(overwritten)}")
    return Called(answers, impure, min(8 * array.itemsize for array in earlier.values()), loss)


def _copies(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: laid_out(array, array.strides) for name, array in inputs.items()}


class Passes(NamedTuple):
    """Functions that are called in order, each with the results of those before it.

    `of`: their class, if they are methods.
    """

    functions: Sequence[Callable[..., Any]]
    of: type | None = None


def _invoke(
    function: Any, form: Form, given: dict[str, Any], sizes: Mapping[str, int]
) -> tuple[dict[str, Any], float | None]:
    """Call it once; return the gradients by the names of their inputs, and the loss if returned."""
    passes = function if isinstance(function, Passes) else Passes([function])
    before = {name: given[name].copy() for name in form.gradients} if form.rate else {}
    together = dict(given)
    values = {**dict.fromkeys(_TOGETHER, together), **sizes, **given}
    values |= dict.fromkeys(_RATES if form.rate else (), form.rate)
    parameters = [_parameters(each, passes.of) for each in passes.functions]
    in_order = len(parameters) == 1 and _in_order(parameters[0], values, len(given))
    rest = any(p.kind == p.VAR_KEYWORD for each in parameters for p in each)
    wanted = {p.name for each in parameters for p in each} | set(given if rest else ())
    names, space = globals_of(passes.functions[-1])
    placed = {n for n in values if n in names - wanted - {*_TOGETHER, *(given if in_order else ())}}
    space.update({name: values[name] for name in placed})
    instance = None if passes.of is None else made(passes.of, values, {**sizes, **given})
    owner, first = ({}, []) if instance is None else (vars(instance), [instance])
    used = set(given) if owner or in_order or wanted & set(_TOGETHER) else placed | wanted
    returned: Any = None
    for each, its in zip(passes.functions, parameters, strict=True):
        passed = {p.name: values[p.name] for p in its if p.name in values}
        passed |= given if any(p.kind == p.VAR_KEYWORD for p in its) else {}
        unknown = [p.name for p in its if _must(p) and p.name not in passed]
        lost = [name for name in given if name not in used]
        if not in_order and (unknown or lost):
            raise Refused(_other_arguments(its, form, passes.of, unknown, lost))
        with _omissions_reported(space):
            returned = each(*first, *given.values()) if in_order else each(*first, **passed)
        if each is not passes.functions[-1]:
            values = {**by_name(returned, each), **values}
    if form.rate is None:
        attributes = {n: v for n, v in owner.items() if n not in given}
        return named(returned, form.gradients, form.required, passes.functions[-1], attributes)
    after = {**together, **{n: space[n] for n in placed}, **owner}
    return {n: (b - after[n]) / form.rate for n, b in before.items()}, None


def _parameters(function: Any, of: type | None) -> list[inspect.Parameter]:
    """The parameters of a function, without `self`; `*rest` if it has no signature."""
    try:
        found = list(inspect.signature(inspect.unwrap(function)).parameters.values())
    except (TypeError, ValueError):
        return [inspect.Parameter("rest", inspect.Parameter.VAR_POSITIONAL)]
    return found[of is not None :]


def _must(p: inspect.Parameter) -> bool:
    """Whether a call must give this parameter a value."""
    return p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)


def _in_order(parameters: list[inspect.Parameter], values: Mapping[str, Any], count: int) -> bool:
    """Whether to pass `count` inputs by position: the parameters are as many, with other names."""
    if any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in parameters):
        return True
    must = [p.name for p in parameters if _must(p)]
    return not set(must) <= set(values) and len(must) == count


def _other_arguments(
    parameters: list[inspect.Parameter],
    form: Form,
    of: type | None,
    unknown: list[str],
    lost: list[str],
) -> str:
    """The message that it takes unknown parameters, or does not use some inputs."""
    takes = ", ".join(p.name for p in parameters if _must(p)) or "nothing"
    but = f", but the network has no {', '.join(unknown)}" if unknown else ""
    if lost:
        but = f", but does not use {', '.join(lost)}"
    where = "globals" if of is None else "attributes of its object or globals"
    return (
        f"it takes ({takes}){but}; the network's inputs are {', '.join(form.inputs)}: name its "
        f"parameters or {where} like these, or write a wrapper that does"
    )


@contextmanager
def _omissions_reported(values: Mapping[str, Any]) -> Iterator[None]:
    """Add to the message of a NameError which statements of the file were left out."""
    try:
        yield
    except NameError as error:
        if what := values.get(LEFT_OUT):
            error.args = (f"{error}; statements that fail were left out: {what}",)
        raise
