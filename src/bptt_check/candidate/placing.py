"""Set the inputs that are no parameters of a pass: as attributes of its object, or as globals."""

import builtins
import dis
import inspect
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from bptt_check.candidate.returned import holds_gradients

#: The global of a file that has the text about its statements that were left out.
LEFT_OUT = "__left_out__"
_WEIGHTS = {"params", "parameters", "weights", "p", "w", "theta", "model", "param", "variables"}
#: Attributes whose reading may read all others.
_ALL = {"__dict__", "__reduce_ex__", "__getstate__"}


class Made(NamedTuple):
    """An object; the inputs that it has for certain; its own names of those given by position."""

    instance: Any
    has: set[str]
    attributes: set[str]  # the inputs that are attributes, which it may read or not
    own: dict[str, str]


def made(
    of: type,
    values: Mapping[str, Any],
    attributes: Collection[str],
    inputs: Mapping[str, Any],
    weights: Sequence[str],
) -> Made:
    """An object of the class, with `attributes`, the inputs and the sizes, set.

    It is made by `__init__` if `values` has all parameters without a default, or if these are as
    many as the weights and have other names; if not, or if `__init__` fails, the object gets the
    defaults of these parameters as attributes. Inputs are also set in the mappings among its
    attributes that have their names as keys.
    """
    parameters = list(inspect.signature(of.__init__).parameters.values())[1:]  # type: ignore[misc]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    must = [p.name for p in named if p.default is p.empty]
    given = {p.name: values[p.name] for p in named if p.name in values}
    own: dict[str, str] = {}
    if must and not set(must) & set(values) and len(must) == len(weights):
        own = dict(zip(must, weights, strict=True))
        given |= {name: values[weight] for name, weight in own.items()}
    has: set[str] = set()
    instance: Any = object.__new__(of)
    vars(instance).update({p.name: p.default for p in named if p.default is not p.empty})
    if set(must) <= set(given):
        with suppress(Exception):  # it may need a file, or other sizes than the network's
            instance = of(**given)
            together = any(isinstance(value, dict) for value in given.values())
            has = set(inputs) if together else {own.get(name, name) for name in given}
    places = [(mapping, name, inputs[name]) for mapping, name in weights_of(instance, inputs)]
    has |= {name for _, name, _ in places}
    are_set = set()
    for name in attributes:
        found, value = inspect.getattr_static(of, name, None), values[name]
        if callable(found) or name in own:
            continue
        with suppress(AttributeError):
            if hasattr(type(found), "__set__"):  # a property, or a slot
                setattr(instance, name, value)
            else:
                places.append((vars(instance), name, value))
            are_set.add(name)
    _fill(instance, places)
    return Made(instance, has, are_set, own)


def weights_of(
    instance: Any, inputs: Mapping[str, Any]
) -> Iterator[tuple[MutableMapping[str, Any], str]]:
    """The mappings among an object's attributes that have weights, and the names of these.

    One called `params`, `weights` or alike; of others, the only one with the name as a key: a
    second one may be a sum of gradients, or a momentum.
    """
    found: dict[str, list[tuple[bool, MutableMapping[str, Any]]]] = {}
    for attribute, value in vars(instance).items():
        if holds_gradients(attribute) or not isinstance(value, MutableMapping):
            continue
        for mapping in (value, *(v for v in value.values() if isinstance(v, MutableMapping))):
            for name in inputs:
                if name in mapping and all(mapping is not m for _, m in found.get(name, [])):
                    found.setdefault(name, []).append((attribute in _WEIGHTS, mapping))
    for name, several in found.items():
        sure = [mapping for is_sure, mapping in several if is_sure]
        mappings = sure if len(sure) == 1 else [mapping for _, mapping in several]
        if len(mappings) == 1:
            yield mappings[0], name


def _fill(instance: Any, places: Sequence[tuple[MutableMapping[str, Any], str, Any]]) -> None:
    """Set values in mappings, and wherever else the object has the array that was there."""
    new: dict[int, tuple[Any, list[Any]]] = {}  # by the identity of an old array: the values for it
    for mapping, name, value in places:
        old = mapping.get(name)
        if isinstance(old, np.ndarray) and isinstance(value, np.ndarray) and old is not value:
            new.setdefault(id(old), (old, []))[1].append(value)
        mapping[name] = value
    for old, several in new.values():
        value = several[0]
        # Several weights, or a bias and a state, may begin as the same zeros.
        if any(each is not value for each in several) or (old.ndim < 2 and not old.any()):
            continue
        for mapping in (vars(instance), *vars(instance).values()):
            if isinstance(mapping, MutableMapping):
                mapping.update({n: value for n, each in mapping.items() if each is old})
        if old.shape == value.shape and old.dtype == value.dtype and old.flags.writeable:
            old[...] = value  # it may also be in a list, or in another object


@contextmanager
def reads_of(instance: Any) -> Iterator[set[str]]:
    """The names of the attributes of this object that are read; of all its own, if any may be."""
    of, seen, method = type(instance), set[str](), "__getattribute__"
    read: Any = of.__getattribute__

    def record(self: Any, name: str) -> Any:
        if self is instance:
            seen.update(read(self, "__dict__") if name in _ALL else (name,))
        return read(self, name)

    defines = method in vars(of)
    setattr(of, method, record)
    try:
        yield seen
    finally:
        if defines:
            setattr(of, method, read)
        else:
            delattr(of, method)


class Globals(NamedTuple):
    """The globals of a file: the names of those that may be set, those looked up, and all."""

    names: set[str]
    looked_up: set[str]
    values: dict[str, Any]


def globals_of(function: Any) -> Globals:
    """The globals of a function's file."""
    values = getattr(inspect.unwrap(function), "__globals__", {})
    looked_up = {name for each in functions_of(values) for name in _looked_up(each.__code__)}
    taken = {n for n, v in values.items() if isinstance(v, ModuleType) or callable(v)}
    return Globals((set(values) | looked_up) - taken - set(dir(builtins)), looked_up, values)


def functions_of(values: dict[str, Any]) -> Iterator[FunctionType]:
    """The functions and methods that a file defines, given its globals."""
    for each in list(values.values()):
        members = [each]
        if isinstance(each, type):
            defined_here = each.__module__ == values.get("__name__", "builtins")
            members = list(vars(each).values()) if defined_here else []
        for member in members:
            if isinstance(member, FunctionType | staticmethod | classmethod):
                function: Any = inspect.unwrap(member)  # type: ignore[arg-type]
                if getattr(function, "__globals__", None) is values:
                    yield function


@cache
def _looked_up(code: CodeType) -> frozenset[str]:
    """The names of the globals that this code and its inner functions read or set."""
    if code in _EDITED:
        return _looked_up(_EDITED[code])
    its = {i.argval for i in dis.get_instructions(code) if i.opname.endswith("_GLOBAL")}
    inner = [_looked_up(c) for c in code.co_consts if isinstance(c, CodeType)]
    return frozenset(its.union(*inner))


_EDITED: dict[CodeType, CodeType] = {}


def is_edit_of(code: CodeType, original: CodeType) -> None:
    """Take the globals of the original for those of this code, which is slow to read."""
    _EDITED[code] = original
