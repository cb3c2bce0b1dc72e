"""Where inputs go that are no parameters of a pass: to its object, to the globals of its file."""

import builtins
import dis
import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: A global of a file of which something was left out; says what.
LEFT_OUT = "__left_out__"


def made(of: type, values: Mapping[str, Any], attributes: Mapping[str, Any]) -> Any:
    """An object of the class: by `__init__` where its parameters are known by name, else without.

    Without it, the parameters that have a default are attributes. The inputs are in any case.
    """
    parameters = list(inspect.signature(of.__init__).parameters.values())[1:]  # type: ignore[misc]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    instance: Any = object.__new__(of)
    vars(instance).update({p.name: p.default for p in named if p.default is not p.empty})
    if all(p.name in values or p.default is not p.empty for p in named):
        with suppress(Exception):  # it may want a file, or sizes that are not the network's
            instance = of(**{p.name: values[p.name] for p in named if p.name in values})
    usable = {n: v for n, v in attributes.items() if not callable(getattr(of, n, None))}
    vars(instance).update(usable)
    return instance


def globals_of(function: Any) -> tuple[set[str], dict[str, Any]]:
    """The names that may be set among the globals of a function's file; those globals."""
    values = getattr(inspect.unwrap(function), "__globals__", {})
    looked_up = {name for each in functions_of(values) for name in _looked_up(each.__code__)}
    taken = {n for n, v in values.items() if isinstance(v, ModuleType) or callable(v)}
    return (set(values) | looked_up) - taken - set(dir(builtins)), values


def functions_of(values: dict[str, Any]) -> Iterator[FunctionType]:
    """A file's functions and methods."""
    for each in list(values.values()):
        members = vars(each).values() if isinstance(each, type) else [each]
        for member in members:
            if isinstance(member, FunctionType | staticmethod | classmethod):
                function: Any = inspect.unwrap(member)  # type: ignore[arg-type]
                if getattr(function, "__globals__", None) is values:
                    yield function


@cache
def _looked_up(code: CodeType) -> frozenset[str]:
    """The globals that it reads or sets, those of its inner functions too."""
    its = {i.argval for i in dis.get_instructions(code) if i.opname.endswith("_GLOBAL")}
    inner = [_looked_up(c) for c in code.co_consts if isinstance(c, CodeType)]
    return frozenset(its.union(*inner))
