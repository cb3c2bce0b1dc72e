"""Call a backward pass twice with copies of the same inputs, and note its side effects.

Each input is passed as the parameter of its name; an input that is no parameter is set as an
attribute of the pass's object, or as a global of its file. If the parameters have other names, all
inputs are passed by position. The sizes of the axes, the rate of an update, and `parameters` or
`params`, a mapping of all inputs, are passed and set in the same way.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from bptt_check.candidate.nearest import nearest
from bptt_check.candidate.placing import LEFT_OUT, Made, globals_of, made, reads_of, weights_of
from bptt_check.candidate.returned import (
    Form,
    Refused,
    Results,
    after_update,
    array_of,
    by_name,
    named,
)

__all__ = ["EXTRA", "RATES", "Called", "Form", "Passes", "Question", "Refused", "call", "laid_out"]

_CACHES = {"cache", "caches"}  # no network has an input of such a name
#: Names of the rate of an update.
RATES = ("learning_rate", "learn_rate", "lr", "alpha", "eta", "rate")
_TOGETHER = ("parameters", "params")


class Question(NamedTuple):
    """The inputs of one call, by name, and the sizes of the axes, for parameters named so.

    `twice`: whether it is called a second time, to see what that changes.
    """

    inputs: Mapping[str, Any]
    sizes: Mapping[str, int] = {}
    twice: bool = True


class Called(NamedTuple):
    """The result of two calls with the same inputs."""

    arrays: dict[str, Any]  # the gradients in float64: "first.U" ... "second.V"
    impure: list[str]  # the side effects, in words
    bits: int  # width of the narrowest floating-point type among the gradients
    loss: float | None = None  # the loss, if the pass returns it
    others: Mapping[str, Any] = {}  # numbers without a meaning, of the first call, by their labels
    unnamed: Sequence[str] = ()  # the labels of what else it returns
    placed: Sequence[str] = ()  # the inputs whose gradient is told by its place, and may be a state
    set_globals: Sequence[str] = ()  # the inputs that are set as globals of its file
    forward: Mapping[str, Any] = {}  # numbers that the passes before the last return, by name


#: The first word of an array's name in an answer, and the field of `Called` that it belongs to.
EXTRA = {"other": "others", "forward": "forward"}


def laid_out(array: Any, strides: Sequence[int]) -> Any:
    """A copy with these strides, in bytes, and the number 3 between the entries.

    Where a stride is 0 there is one entry. It is C-contiguous if a stride is negative or no
    multiple of the item size.
    """
    if 0 in strides:
        one = array[tuple(slice(None if s else 1) for s in strides)]
        return np.broadcast_to(one.copy(), array.shape)
    copy = array.copy()
    if copy.strides == tuple(strides) or any(s < 0 or s % array.itemsize for s in strides):
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
    results, set_globals, forward = Results({}, None, {}, []), list[str](), dict[str, Any]()
    for which in ("first", "second"):
        given = _copies(question.inputs)
        answer, set_globals, handed = _invoke(function, form, given, question.sizes)
        if which == "first":
            results, forward = _copied(answer), handed
        returned = answer.gradients
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
                impure.append(f"a second call overwrites d{name}, which the first has returned")
        earlier = dict(returned)
        if not question.twice:
            answers |= {f"second.{name}": answers[f"first.{name}"] for name in returned}
            break
    if question.twice and isinstance(function, Passes) and function.of and form.rate is None:
        first = {name: answers[f"first.{name}"] for name in earlier}
        impure += _kept_by_an_object(function, form, question, first)
    bits = min(8 * array.itemsize for array in earlier.values())
    return Called(answers, impure, bits, *results[1:], set_globals, forward)


class Gradients:
    """The gradients that a function gives, called once a question; raises as `call`.

    What stands where in its answer is found in the first one, since finding it takes longer than
    the call.
    """

    def __init__(self, function: Any, form: Form) -> None:
        self._function, self._form = function, form
        self._places: dict[str, Sequence[Any]] = {}
        self._names = self._inputs_alone()

    def _inputs_alone(self) -> list[str] | None:
        """The inputs in the order of its parameters, if it needs no more than these."""
        if isinstance(self._function, Passes) or self._form.rate is not None:
            return None
        space, names = globals_of(self._function), list(self._form.inputs)
        parameters = [p for p in _parameters(self._function, None) if _must(p)]
        if space.names & space.looked_up & set(names) or len(parameters) != len(names):
            return None
        if any(p.kind != p.POSITIONAL_OR_KEYWORD for p in parameters):
            return None
        own = [p.name for p in parameters]
        return own if set(own) == set(names) else names if not set(own) & set(names) else None

    def __call__(self, question: Question) -> Mapping[str, Any]:
        """The gradients at a question."""
        returned: list[Any] = []
        if self._names is not None and self._places:
            given = _copies(question.inputs)
            with np.errstate(all="ignore"):
                answer = self._function(*(given[name] for name in self._names))
            if (gradients := self._at(answer)) is not None:
                return gradients
        of = self._function, self._form, _copies(question.inputs), question.sizes

        def read(answer: Any) -> dict[str, Any] | None:
            returned.append(answer)
            return self._at(answer)

        found = _invoke(*of, read=read)[0]
        if not self._places and self._form.rate is None and returned:
            places = {id(value): place for place, value in _leaves(returned[0], ())}
            known = {name: places.get(id(value)) for name, value in found.gradients.items()}
            if None not in known.values():
                self._places = {n: place for n, place in known.items() if place is not None}
        return found.gradients

    def _at(self, answer: Any) -> dict[str, Any] | None:
        """The gradients at the known places; None if these are not known, or not there."""
        found = {}
        for name, place in self._places.items():
            value = answer
            for key in place:
                try:
                    value = value[key]
                except (LookupError, TypeError):
                    return None
            if not isinstance(value, np.ndarray):
                return None
            found[name] = value
        return found or None


def _leaves(of: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The values in nested mappings and sequences, and the keys that lead to them."""
    if isinstance(of, Mapping | list | tuple):
        items = of.items() if isinstance(of, Mapping) else enumerate(of)
        for key, each in items:
            yield from _leaves(each, (*place, key))
    else:
        yield place, of


def _copied(results: Results) -> Results:
    """The results with copies of the arrays without a meaning: a second call may change these."""
    others = {n: np.array(a, np.float64, order="C") for n, a in results.others.items()}
    return results._replace(others=others)


def _copies(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: laid_out(array, array.strides) for name, array in inputs.items()}


class Passes(NamedTuple):
    """Functions that are called in order, each with the results of those before it.

    `of`: their class, if they are methods.
    """

    functions: Sequence[Callable[..., Any]]
    of: type | None = None


def _kept_by_an_object(
    passes: Passes, form: Form, question: Question, first: Mapping[str, Any]
) -> list[str]:
    """Whether a second call on one object returns other gradients: something is not cleared."""
    try:
        given = _copies(question.inputs)
        again = _invoke(passes, form, given, question.sizes, calls=2)[0].gradients
    except Exception as error:
        return [f"a second call on the same object raises {type(error).__name__}: {error}"]
    same = {n: np.array_equal(a, first[n], equal_nan=True) for n, a in again.items() if n in first}
    others = ", ".join(f"d{name}" for name, is_same in same.items() if not is_same)
    return [f"a second call on the same object returns other gradients: {others}"] * bool(others)


class _Inputs(NamedTuple):
    """Where the inputs of one call go.

    `given`: their values; `values`: also the sizes, the rate, and a mapping of them all; `placed`:
    the globals of the file to set; `own`: the inputs by the pass's own names.
    """

    form: Form
    given: dict[str, Any]
    values: dict[str, Any]
    in_order: bool
    wanted: set[str]
    placed: set[str]
    own: dict[str, str]


def _invoke(
    function: Any,
    form: Form,
    given: dict[str, Any],
    sizes: Mapping[str, int],
    read: Callable[[Any], dict[str, Any] | None] = lambda _: None,
    calls: int = 1,
) -> tuple[Results, list[str], dict[str, Any]]:
    """Call it once, or more often on the same object; `read` may say what gradients it returns.

    Returns:
        its results; the inputs that it gets as globals of its file; copies of the floating-point
        arrays that the passes before the last return.
    """
    passes = function if isinstance(function, Passes) else Passes([function])
    if form.outputs:
        from bptt_check.candidate.layer_calls import run_layer

        its, outputs = run_layer(passes.functions[0], form, given)
        doubles = {n: np.array(a, np.float64) for n, a in outputs.items()}
        return Results(its, None, {}, []), [], doubles
    before = {name: given[name].copy() for name in form.gradients} if form.rate else {}
    together = dict(given)
    values = {**dict.fromkeys(_TOGETHER, together), **sizes, **given}
    values |= dict.fromkeys(RATES if form.rate else (), form.rate)
    parameters = [_parameters(each, passes.of) for each in passes.functions]
    in_order = len(parameters) == 1 and _in_order(parameters[0], values, len(given))
    rest = any(p.kind == p.VAR_KEYWORD for each in parameters for p in each)
    wanted = {p.name for each in parameters for p in each} | set(given if rest else ())
    space = globals_of(passes.functions[-1])
    placed = (space.names & set(values)) - wanted - {*_TOGETHER, *(given if in_order else ())}
    space.values.update({name: values[name] for name in placed})
    own = _own_names(parameters[0], form) if in_order else {}
    inputs = _Inputs(form, given, values, in_order, wanted, placed, own)
    of = None
    if passes.of is not None:
        attributes = {n: v for n, v in values.items() if n in sizes or n in given}
        of = made(passes.of, values, attributes, given, form.weights)
        own |= of.own
    with np.errstate(all="ignore"), _omissions_reported(space.values):
        for _ in range(calls):
            returned, handed = _in_turn(passes, parameters, inputs, of)
    if form.rate is None and (gradients := read(returned)) is not None:
        return Results(gradients, None, {}, []), [], {}
    set_globals = [n for n in given if n in placed & space.looked_up]
    owner = {} if of is None else vars(of.instance)
    last = passes.functions[-1]
    if form.rate is None:
        attributes = {n: v for n, v in owner.items() if n not in given}
        return named(returned, form, given, last, attributes, own), set_globals, handed
    found, results = after_update(returned, form, last)
    held = {} if of is None else {n: m[n] for m, n in weights_of(of.instance, given)}
    held |= {n: owner[a] for a, n in own.items() if a in owner}
    after = {**together, **{n: space.values[n] for n in placed}, **owner, **held, **found}
    updates = {n: (b - after[n]) / form.rate for n, b in before.items()}
    return results._replace(gradients=updates), set_globals, handed


def _in_turn(
    passes: Passes, parameters: list[list[inspect.Parameter]], inputs: _Inputs, of: Made | None
) -> tuple[Any, dict[str, Any]]:
    """Call the functions in turn; return what the last one returns, and arrays of the others.

    Raises:
        Refused: one has other parameters, or no function uses some input.
    """
    given, values = inputs.given, inputs.values
    used = set(inputs.placed | inputs.wanted)
    if inputs.in_order or inputs.wanted & set(_TOGETHER):
        used |= set(given)
    first = [] if of is None else [of.instance]
    read: set[str] = set()
    returned: Any = None
    handed: dict[str, Any] = {}
    for each, its in zip(passes.functions, parameters, strict=True):
        passed = {p.name: values[p.name] for p in its if p.name in values}
        passed |= given if any(p.kind == p.VAR_KEYWORD for p in its) else {}
        unknown = [p.name for p in its if _must(p) and p.name not in passed]
        lost = [name for name in given if of is None and name not in used]
        if not inputs.in_order and (unknown or lost):
            handed_over = [n for n in values if n not in inputs.values]
            raise Refused(
                _other_arguments(its, inputs.form, passes.of, unknown, lost)
                + _of_the_forward_pass(unknown, handed_over)
            )
        with reads_of(of.instance) if of else nullcontext(read) as seen:
            returned = each(*first, *given.values()) if inputs.in_order else each(*first, **passed)
        read |= seen
        if each is not passes.functions[-1]:
            its_values = by_name(returned, each)
            values = {**its_values, **values}
            arrays = ((n, array_of(v)) for n, v in its_values.items() if n not in given)
            arrays = ((n, a) for n, a in arrays if a is not None and a.ndim)
            handed |= {n: np.array(a, np.float64, order="C") for n, a in arrays}
    used |= set() if of is None else of.has | (of.attributes & read)
    if lost := [name for name in given if name not in used]:
        raise Refused(_other_arguments(parameters[-1], inputs.form, passes.of, [], lost))
    return returned, handed


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
    if _CACHES & set(must):
        return False
    return not set(must) <= set(values) and len(must) == count


def _own_names(parameters: list[inspect.Parameter], form: Form) -> dict[str, str]:
    """The inputs by the names of the parameters at their places.

    Raises:
        Refused: a parameter has the name of another input with the same axes than is at its place.
    """
    names = [p.name for p in parameters if _must(p) and p.kind != p.KEYWORD_ONLY]
    own = dict(zip(names, form.inputs, strict=False))
    axes = dict(zip(form.inputs, form.axes, strict=False))
    for name, its in own.items():
        if name != its and name in axes and axes[name] == axes[its]:
            raise Refused(
                f"it takes ({', '.join(names)}), and the inputs are {', '.join(form.inputs)}: by "
                f"position, its {name} is {its}; name its parameters like the inputs"
            )
    return own


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


def _of_the_forward_pass(unknown: Sequence[str], handed_over: Sequence[str]) -> str:
    """A remedy for a parameter that a forward pass should hand over; empty if there is none."""
    if handed_over:
        of = f"; the pass before it returns {', '.join(handed_over)}"
        return of + next(filter(None, (nearest(n, handed_over) for n in unknown)), "")
    its = next((name for name in unknown if name in _CACHES), "")
    return f"; if your forward pass returns {its}, ask for FILE.py:FORWARD,BACKWARD" if its else ""


@contextmanager
def _omissions_reported(values: Mapping[str, Any]) -> Iterator[None]:
    """Add to the message of a NameError which statements of the file were left out."""
    try:
        yield
    except NameError as error:
        if what := values.get(LEFT_OUT):
            error.args = (f"{error}; statements that fail were left out: {what}",)
        raise
