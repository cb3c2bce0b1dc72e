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

from bptt_check.candidate.layout import laid_out
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

__all__ = [
    "EXTRA",
    "RATES",
    "Called",
    "Form",
    "Passes",
    "Question",
    "Refused",
    "call",
    "gradients",
]

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


def _written(array: Any, old: Any) -> Any:
    """The old array with these values, or a new one if that has another layout."""
    if old is None or (old.shape, old.strides) != (array.shape, array.strides) or 0 in old.strides:
        return laid_out(array, array.strides)
    old[...] = array
    return old


def call(function: Any, form: Form, question: Question, *before: Question) -> Called:
    """Call the function twice with copies of the same inputs, which keep their memory layout.

    After earlier calls the second one gets the arrays of the last of these, changed in place.

    Args:
        function: a function, or `Passes`.
        form: its inputs and results.
        before: the inputs of earlier calls, in this order; their results are ignored.

    Raises:
        Refused: the function takes other arguments, or returns something else.
        Exception: whatever the function raises.
    """
    calls = [_Call(function, form, earlier) for earlier in before]
    for earlier in calls:
        earlier.run()
    its = _Call(function, form, question)
    results, forward = its.run()
    impure = []
    if form.rate is None:
        impure = [f"{name} is changed in place" for name in its.changed()]
    buffers, answers = dict(its.given), dict[str, Any]()
    others = {n: _doubles(a) for n, a in results.others.items()}  # a second call may change them
    for name, array in results.gradients.items():
        shared = [other for other, buffer in buffers.items() if np.shares_memory(array, buffer)]
        impure += [f"d{name} shares its memory with {other}" for other in shared]
        buffers = {f"d{name}": array, **buffers}
        answers[f"first.{name}"] = _doubles(array)
    second = results
    if question.twice:
        arrays: Mapping[str, Any] = {}
        if before and before[-1].sizes == question.sizes:
            calls[-1].run()
            arrays = calls[-1].given
        second = _Call(function, form, question, arrays).run()[0]
    answers |= {f"second.{name}": _doubles(array) for name, array in second.gradients.items()}
    for name, array in results.gradients.items():
        if not np.array_equal(array, answers[f"first.{name}"], equal_nan=True):
            impure.append(f"a second call overwrites d{name}, which the first has returned")
    if question.twice and its.passes.of and form.rate is None:
        impure += _kept_by_an_object(_Call(function, form, question), answers)
    bits = min(8 * array.itemsize for array in second.gradients.values())
    rest = results._replace(others=others)[1:]
    return Called(answers, impure, bits, *rest, its.set_globals, forward)


def gradients(function: Any, form: Form, question: Question) -> Mapping[str, Any]:
    """The gradients that a function gives, called once; raises as `call`."""
    return _Call(function, form, question).run()[0].gradients


def _doubles(array: Any) -> Any:
    """A copy in float64."""
    return np.array(array, np.float64, order="C")


class Passes(NamedTuple):
    """Functions that are called in order, each with the results of those before it.

    `of`: their class, if they are methods.
    """

    functions: Sequence[Callable[..., Any]]
    of: type | None = None


def _kept_by_an_object(call: "_Call", answers: Mapping[str, Any]) -> list[str]:
    """Whether a second call on one object returns other gradients: something is not cleared."""
    try:
        again = call.run(2)[0].gradients
    except Exception as error:
        return [f"a second call on the same object raises {type(error).__name__}: {error}"]
    first = {n: answers.get(f"first.{n}", a) for n, a in again.items()}
    others = [f"d{n}" for n, a in again.items() if not np.array_equal(a, first[n], equal_nan=True)]
    text = f"a second call on the same object returns other gradients: {', '.join(others)}"
    return [text] * bool(others)


class _Call:
    """Where the inputs of one call go, which get copies of a question's arrays.

    `values`: the inputs, the sizes, the rate, and a mapping of the inputs; `wanted`: the names of
    all parameters; `placed`: the globals of the file to set; `own`: the inputs by the pass's own
    names; `set_globals`: those that it reads from globals. `arrays`: of an earlier call, for its
    values.
    """

    def __init__(
        self, function: Any, form: Form, question: Question, arrays: Mapping[str, Any] = {}
    ) -> None:
        self.passes = function if isinstance(function, Passes) else Passes([function])
        self.form, self.question = form, question
        self.given = {n: _written(a, arrays.get(n)) for n, a in question.inputs.items()}
        self.set_globals: list[str] = []
        if form.outputs:
            return
        given, of = self.given, self.passes.of
        self.together = dict(given)
        together = dict.fromkeys(_TOGETHER, self.together)
        self.values = {**together, **question.sizes, **given}
        self.values |= dict.fromkeys(RATES if form.rate else (), form.rate)
        self.parameters = [_parameters(each, of) for each in self.passes.functions]
        first = self.parameters[0]
        self.in_order = len(self.parameters) == 1 and _in_order(first, self.values, len(given))
        every = [p for each in self.parameters for p in each]
        rest = any(p.kind == p.VAR_KEYWORD for p in every)
        self.wanted = {p.name for p in every} | set(given if rest else ())
        self.globals = globals_of(self.passes.functions[-1])
        hidden = {*self.wanted, *_TOGETHER, *(given if self.in_order else ())}
        self.placed = (self.globals.names & set(self.values)) - hidden
        self.set_globals = [n for n in given if n in self.placed & self.globals.looked_up]
        self.own = _own_names(first, form) if self.in_order else {}

    def changed(self) -> list[str]:
        """The inputs that have been changed in place."""
        arrays = self.question.inputs.items()
        return [n for n, a in arrays if not np.array_equal(self.given[n], a, equal_nan=True)]

    def run(self, calls: int = 1) -> tuple[Results, dict[str, Any]]:
        """Call it once, or more often on the same object.

        Returns:
            its results; copies of the floating-point arrays that the passes before the last return.
        """
        form, passes, given = self.form, self.passes, self.given
        if form.outputs:
            from bptt_check.candidate.layer_calls import run_layer

            its, outputs = run_layer(passes.functions[0], form, given)
            return Results(its, None, {}, []), {n: _doubles(a) for n, a in outputs.items()}
        before = {name: given[name].copy() for name in form.gradients} if form.rate else {}
        space, of, own = self.globals.values, None, self.own
        space.update({name: self.values[name] for name in self.placed})
        if passes.of is not None:
            names = [*self.question.sizes, *given]
            of = made(passes.of, self.values, names, given, form.weights)
            own = own | of.own
        with np.errstate(all="ignore"), _omissions_reported(space):
            for _ in range(calls):
                returned, handed = self._in_turn(of)
        owner = {} if of is None else vars(of.instance)
        last = passes.functions[-1]
        if form.rate is None:
            attributes = {n: v for n, v in owner.items() if n not in given}
            return named(returned, form, given, last, attributes, own), handed
        found, results = after_update(returned, form, last)
        held = {} if of is None else {n: m[n] for m, n in weights_of(of.instance, given)}
        held |= {n: owner[a] for a, n in own.items() if a in owner}
        of_file = {n: space[n] for n in self.placed}
        after = {**self.together, **of_file, **owner, **held, **found}
        updates = {n: (b - after[n]) / form.rate for n, b in before.items()}
        return results._replace(gradients=updates), handed

    def _in_turn(self, of: Made | None) -> tuple[Any, dict[str, Any]]:
        """Call the functions in turn; return what the last one returns, and arrays of the others.

        Raises:
            Refused: one has other parameters, or no function uses some input.
        """
        given, values = self.given, self.values
        used = self.placed | self.wanted
        if self.in_order or self.wanted & set(_TOGETHER):
            used |= set(given)
        first, read = [] if of is None else [of.instance], set[str]()
        returned: Any = None
        handed: dict[str, Any] = {}
        for each, its in zip(self.passes.functions, self.parameters, strict=True):
            passed = {p.name: values[p.name] for p in its if p.name in values}
            passed |= given if any(p.kind == p.VAR_KEYWORD for p in its) else {}
            unknown = [p.name for p in its if _must(p) and p.name not in passed]
            lost = [name for name in given if of is None and name not in used]
            if not self.in_order and (unknown or lost):
                remedy = _of_the_forward_pass(unknown, [n for n in values if n not in self.values])
                raise Refused(self._other_arguments(its, unknown, lost) + remedy)
            with reads_of(of.instance) if of else nullcontext(read) as seen:
                by_place = given.values() if self.in_order else ()
                returned = each(*first, *by_place, **({} if self.in_order else passed))
            read |= seen
            if each is not self.passes.functions[-1]:
                its_values = by_name(returned, each)
                values = {**its_values, **values}
                arrays = {n: array_of(v) for n, v in its_values.items() if n not in given}
                handed |= {n: _doubles(a) for n, a in arrays.items() if a is not None and a.ndim}
        used |= set() if of is None else of.has | (of.attributes & read)
        if lost := [name for name in given if name not in used]:
            raise Refused(self._other_arguments(self.parameters[-1], [], lost))
        return returned, handed

    def _other_arguments(
        self, parameters: list[inspect.Parameter], unknown: list[str], lost: list[str]
    ) -> str:
        """The message that it takes unknown parameters, or does not use some inputs."""
        takes = ", ".join(p.name for p in parameters if _must(p)) or "nothing"
        but = f", but the network has no {', '.join(unknown)}" if unknown else ""
        if lost:
            but = f", but does not use {', '.join(lost)}"
        where = "globals" if self.passes.of is None else "attributes of its object or globals"
        return (
            f"it takes ({takes}){but}; the network's inputs are {', '.join(self.form.inputs)}: "
            f"name its parameters or {where} like these, or write a wrapper that does"
        )


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
