"""Call a backward pass twice with copies of the same inputs, and note what it does beside that.

Each input goes where the pass expects it: to its parameter of that name, to an attribute of its
object, or to a global of its file; by position if it names its parameters otherwise.
"""

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

_LOSS = {"loss", "cost", "J", "E", "L", "total_loss"}


class Refused(Exception):
    """The candidate cannot be asked; the message is for its author."""


class Form(NamedTuple):
    """What a backward pass is called with, and what it returns; JSON can hold it.

    `inputs` in order; `gradients`: the inputs that it may return a gradient of, in order;
    `required`: those that it must. `rate`: it returns nothing, and subtracts this times the
    gradient from its inputs.
    """

    inputs: Sequence[str]
    gradients: Sequence[str]
    required: Sequence[str] = ()
    rate: float | None = None


class Question(NamedTuple):
    """The inputs of one call, and the sizes of the axes, for what is named like one."""

    inputs: Mapping[str, Any]
    sizes: Mapping[str, int] = {}


class Called(NamedTuple):
    """The gradients of two calls with the same inputs, in float64, and what was seen of them."""

    arrays: dict[str, Any]  # "first.U" ... "second.V"
    impure: list[str]
    bits: int  # of the narrowest floating-point type among the gradients
    loss: float | None = None  # its own, if it returns it


def laid_out(array: Any, strides: Sequence[int]) -> Any:
    """A copy with these strides, in bytes, 3 in the gaps; a plain one if they go backwards."""
    copy = array.copy()
    if copy.strides == tuple(strides) or any(s <= 0 or s % array.itemsize for s in strides):
        return copy
    last = sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True)) // array.itemsize
    memory = np.full(last + 1, 3, array.dtype)
    apart: Any = np.ndarray(array.shape, array.dtype, memory, strides=tuple(strides))
    apart[...] = array
    return apart


def call(function: Callable[..., Any], form: Form, question: Question, *before: Question) -> Called:
    """Call the function twice with copies of the same inputs, laid out as they are in memory.

    Args:
        form: what it is called with, and what it returns.
        before: what it is called with before that, in this order.

    Raises:
        Refused: it takes other arguments, or returns something else.
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
        impure.append(f"a second call changes what the first returned: {', '.join(overwritten)}")
    return Called(answers, impure, min(8 * array.itemsize for array in earlier.values()), loss)


def _copies(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: laid_out(array, array.strides) for name, array in inputs.items()}


def _invoke(
    function: Callable[..., Any], form: Form, given: dict[str, Any], sizes: Mapping[str, int]
) -> tuple[dict[str, Any], float | None]:
    """The gradients by the names of their inputs, and the loss if it is returned."""
    before = {name: given[name].copy() for name in form.gradients} if form.rate else {}
    instance: Any = None
    owner: dict[str, Any] = {}
    method = isinstance(function, Method)
    if isinstance(function, Method):
        instance = object.__new__(function.of)
        owner = instance.__dict__
        owner.update({**sizes, **given})
    values = {**sizes, **given}
    by_name, wanted = _parameters(function)
    if wanted is None or not set(wanted) <= set(values):
        if wanted is not None and len(wanted) != len(given):
            raise Refused(_other_arguments(wanted, form, method))
        returned = function(*([instance] if method else []), *given.values())
    else:
        passed = {name: values[name] for name in by_name if name in values}
        passed |= given if "**" in by_name else {}
        space = _globals(function)
        for name, value in values.items():
            if name not in passed and name in space.names:
                space.values[name] = owner[name] = value
        lost = [n for n in given if n not in passed and n not in space.names and not method]
        if lost:
            raise Refused(_other_arguments(wanted, form, method, lost))
        returned = function(*([instance] if method else []), **passed)
    if form.rate is None:
        return _named(returned, form, function)
    space = _globals(function)
    after = {n: owner.get(n, space.values.get(n, given[n])) for n in before}
    return {n: (before[n] - after[n]) / form.rate for n in before}, None


class Method:
    """A method of a class, whose objects are made without `__init__`: the inputs are attributes."""

    def __init__(self, of: type, name: str) -> None:
        self.of, self.function = of, getattr(of, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it on an object."""
        return self.function(*args, **kwargs)


class _Space(NamedTuple):
    names: set[str]
    values: dict[str, Any]


def _plain(function: Any) -> Any:
    return inspect.unwrap(function.function if isinstance(function, Method) else function)


def _globals(function: Any) -> _Space:
    """The globals of a function's file, and the names that the file's functions look up there."""
    values = getattr(_plain(function), "__globals__", {})
    names = set(values)
    for each in list(values.values()):
        if isinstance(each, FunctionType) and each.__globals__ is values:
            names |= set(each.__code__.co_names)
    taken = {n for n, v in values.items() if isinstance(v, ModuleType) or callable(v)}
    return _Space(names - taken - set(dir(builtins)), values)


def _parameters(function: Any) -> tuple[list[str], list[str] | None]:
    """The names of its parameters, and of those without a default; None: it does not say."""
    try:
        parameters = list(inspect.signature(_plain(function)).parameters.values())
    except (TypeError, ValueError):
        return [], None
    parameters = parameters[isinstance(function, Method) :]
    if any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in parameters):
        return [], None
    plain = [p for p in parameters if p.kind != p.VAR_KEYWORD]
    names = [p.name for p in plain] + ["**"] * (len(parameters) - len(plain))
    return names, [p.name for p in plain if p.default is p.empty]


def _other_arguments(
    wanted: Sequence[str], form: Form, method: bool, lost: Sequence[str] = ()
) -> str:
    takes = ", ".join(wanted) or "nothing"
    where = "attributes of its object or globals" if method else "globals"
    missing = f", and has no use for {', '.join(lost)}" if lost else ""
    return (
        f"it takes ({takes}){missing}; the network has {', '.join(form.inputs)}: give its "
        f"parameters or {where} these names, or write a function around it that does"
    )


def _named(returned: Any, form: Form, function: Any = None) -> tuple[dict[str, Any], float | None]:
    """What was returned, by name: a mapping, a tuple in order or with names, a loss and either."""
    loss, found = None, None
    if isinstance(returned, Mapping):
        found = {n: returned[k] for n in form.gradients if (k := _key(n, returned)) is not None}
        loss = next((returned[k] for k in returned if k in _LOSS), None)
        missing = [f"d{n}" for n in form.required if n not in found]
        if missing or not found:
            what = ", ".join(missing or [f"d{n}" for n in form.gradients])
            raise Refused(f"it returned a mapping without {what}")
    elif isinstance(returned, tuple | list):
        names = _returned_names(function, len(returned))
        named = {n: names.index(k) for n in form.gradients if (k := _key(n, names)) is not None}
        mappings = [one for one in returned if isinstance(one, Mapping)]
        if named and set(form.required) <= set(named):
            found = {n: returned[i] for n, i in named.items()}
            loss = next((returned[names.index(k)] for k in names if k in _LOSS), None)
        elif len(mappings) == 1:
            found, loss = _named(mappings[0], form)
            numbers = [one for one in returned if np.ndim(one) == 0 and np.isscalar(one)]
            loss = numbers[0] if loss is None and len(numbers) == 1 else loss
        elif len(returned) == len(form.required or form.gradients):
            found = dict(zip(form.required or form.gradients, returned, strict=True))
    elif len(form.gradients) == 1:
        found = {form.gradients[0]: returned}
    if found is None:
        got = type(returned).__name__
        if isinstance(returned, tuple | list):
            got += f" of {len(returned)}"
        every = ", ".join(f"d{n}" for n in form.required or form.gradients)
        raise Refused(f"it must return ({every}) or a mapping with these keys, got {got}")
    for name, array in found.items():
        if not isinstance(array, np.ndarray | np.floating) or array.dtype.kind != "f":
            kind = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
            raise Refused(f"d{name} must be a NumPy array of floating-point numbers, got {kind}")
    with suppress(TypeError, ValueError):
        loss = None if loss is None else float(np.sum(loss))
    return {n: np.asarray(array) for n, array in found.items()}, loss


def _key(name: str, keys: Any) -> Any:
    """How a gradient is called among these: dW, dLdW, grad_W, W_grad, or W itself."""
    usual = (f"d{name}", f"dLd{name}", f"d_{name}", f"grad_{name}", f"{name}_grad", f"g{name}")
    return next((k for k in (*usual, name) if k in keys), None)


def _returned_names(function: Any, count: int) -> list[str]:
    """The variables in the function's last `return a, b, c`, if there are so many."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(_plain(function))))
    except (OSError, TypeError, SyntaxError):
        return []
    found: list[str] = []
    for node in ast.walk(tree.body[0]):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple | ast.List):
            names = [ast.unparse(e).rpartition(".")[2] for e in node.value.elts]
            found = names if len(names) == count else found
    return found
