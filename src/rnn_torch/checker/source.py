"""The source of a backward pass, and what the names of its file stand for: read, never run."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rnn_numpy.isolation.calling import Refused
from rnn_numpy.isolation.loading import parsed, place

_LARGEST_FILE = 1 << 20  # octets
_LIBRARIES = {
    *("numpy", "scipy", "math", "operator", "itertools", "functools", "collections", "copy"),
    *("typing", "time", "warnings", "numba", "autograd"),
}

Function = ast.FunctionDef | ast.Lambda


@dataclass
class Names:
    """What the names of a file, or of a function, stand for."""

    functions: dict[str, Function] = field(default_factory=dict)  # bound once, or the last of them
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)  # NumPy, and what is imported from it
    bound: set[str] = field(default_factory=set)  # all names


class Source(NamedTuple):
    """The lines of a text, functions in it, and the words for the place of one of its lines.

    `function` is called last, with what those `before` it return; `owner` is their class.
    """

    lines: Sequence[str]
    function: ast.FunctionDef
    place: Callable[[int], str] = "line {}".format
    tree: ast.Module = ast.Module([], [])
    before: Sequence[ast.FunctionDef] = ()
    owner: ast.ClassDef | None = None


def source_in_file(target: str) -> Source | None:
    """The function of `FILE.py:FUNCTION`, of two functions the last; None if it is not found."""
    file, _, names = target.rpartition(":")
    try:
        if not Path(file).is_file() or Path(file).stat().st_size > _LARGEST_FILE:
            return None  # such as a pipe that nobody writes to
        text, tree = parsed(file)
    except (Refused, OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    found = [_found(tree, name.split(".")) for name in names.split(",")]
    functions = [node for _, node in found if node is not None]
    if len(functions) < len(found):
        return None
    lines = text.splitlines()
    return Source(lines, functions[-1], partial(place, file), tree, functions[:-1], found[-1][0])


def source_of(function: Callable[..., Any]) -> Source | None:
    """The source of a function of this process; None if it has none."""
    function = inspect.unwrap(function)
    try:
        lines, _ = inspect.findsource(function)
        its, first = inspect.getsourcelines(function)
        node = ast.parse(textwrap.dedent("".join(its))).body[0]
        tree = ast.parse("".join(lines))
    except (OSError, TypeError, SyntaxError, IndexError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(node, ast.FunctionDef):
        return None
    ast.increment_lineno(node, first)
    qualified = getattr(function, "__qualname__", "").split(".")
    owner, same = _found(tree, qualified)
    where = "line {}" if Path(inspect.getfile(function)).exists() else "its cell, line {}"
    if same is None or same.lineno != node.lineno - 1:  # made by a function, or in a branch
        ast.increment_lineno(node, -1)
        owner, same, tree = None, node, ast.Module([], [])
    return Source([line.rstrip("\n") for line in lines], same, where.format, tree, owner=owner)


def _found(
    tree: ast.Module, names: Sequence[str]
) -> tuple[ast.ClassDef | None, ast.FunctionDef | None]:
    """The last function of this name, as [CLASS, METHOD], and its class."""
    body: Sequence[ast.AST] = tree.body
    owner = None
    for name in names[:-1]:
        classes = [n for n in body if isinstance(n, ast.ClassDef) and n.name == name]
        owner = classes[-1] if classes else None
        body = owner.body if owner else []
    its = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == names[-1]]
    return owner, its[-1] if its else None


def names_in(body: Sequence[ast.stmt]) -> Names:
    """What the statements bind, not those of inner functions and classes.

    A name that is bound to a function and to something else stands for no function.
    """
    names, other = Names(), set()
    for node in _statements(body):
        match node:
            case ast.FunctionDef(name=name):
                names.functions[name] = node
            case ast.ClassDef(name=name):
                names.classes[name] = node
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                other |= {name} & set(names.functions)
                names.functions[name] = value
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    root = alias.name
                    if isinstance(node, ast.ImportFrom):
                        root = "." * node.level + (node.module or "")
                    its = alias.asname or alias.name.partition(".")[0]
                    is_ours = root.partition(".")[0] not in _LIBRARIES
                    (names.bound if is_ours else names.libraries).add(its)
            case _:
                other |= set(_stored(node))
    for name in other:
        names.functions.pop(name, None)
        names.classes.pop(name, None)
        names.libraries.discard(name)
    names.bound |= {*other, *names.functions, *names.classes}
    names.libraries -= names.bound
    return names


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)


def _stored(node: ast.stmt) -> Iterator[str]:
    """The names that a statement itself binds, and those whose attributes it replaces."""
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.stmt | ast.excepthandler):
            continue
        for each in ast.walk(part):
            if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
                each = each.value  # `Layer.backward = ...`
                if isinstance(each, ast.Name) and each.id != "self":
                    yield each.id
            elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                yield each.id
