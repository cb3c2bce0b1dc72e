"""Set the inputs that are no parameters of a pass: as attributes of its object, or as globals."""

import builtins
import dis
import inspect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

#: The global of a file that has the text about its statements that were left out.
LEFT_OUT = "__left_out__"


def made(of: type, values: Mapping[str, Any], attributes: Mapping[str, Any]) -> Any:
    """An object of the class, with `attributes` set.

    It is made by `__init__` if `values` has all parameters without a default; if not, or if
    `__init__` fails, the object gets the defaults of these parameters as attributes.
    """
    parameters = list(inspect.signature(of.__init__).parameters.values())[1:]  # type: ignore[misc]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    instance: Any = object.__new__(of)
    vars(instance).update({p.name: p.default for p in named if p.default is not p.empty})
    if all(p.name in values or p.default is not p.empty for p in named):
        with suppress(Exception):  # it may need a file, or other sizes than the network's
            instance = of(**{p.name: values[p.name] for p in named if p.name in values})
    usable = {n: v for n, v in attributes.items() if not callable(getattr(of, n, None))}
    vars(instance).update(usable)
    return instance


def globals_of(function: Any) -> tuple[set[str], dict[str, Any]]:
    """The names of the globals that may be set in a function's file, and all its globals."""
    values = getattr(inspect.unwrap(function), "__globals__", {})
    looked_up = {name for each in functions_of(values) for name in _looked_up(each.__code__)}
    taken = {n for n, v in values.items() if isinstance(v, ModuleType) or callable(v)}
    return (set(values) | looked_up) - taken - set(dir(builtins)), values


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
    its = {i.argval for i in dis.get_instructions(code) if i.opname.endswith("_GLOBAL")}
    inner = [_looked_up(c) for c in code.co_consts if isinstance(c, CodeType)]
    return frozenset(its.union(*inner))
