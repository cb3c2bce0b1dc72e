"""The source of a backward pass: read, never run.

What the names of its file stand for, and what an expression or a statement is by its form alone.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bptt_check.candidate.calling import Form, Refused
from bptt_check.candidate.loading import parsed, place
from bptt_check.candidate.returned import key_of, last_name

_LARGEST_FILE = 1 << 20  # octets
_LIBRARIES = {
    *("numpy", "scipy", "math", "operator", "itertools", "functools", "collections", "copy"),
    *("typing", "time", "warnings", "numba", "autograd"),
}

Function = ast.FunctionDef | ast.Lambda
Pairs = list[tuple[ast.expr, ast.expr, bool]]  # a target, its value, or else a part of that
Values = Mapping[str, tuple[ast.expr, ast.stmt]]  # what variables are assigned, and where
MARK = "¬"  # and a number, behind the variables of a copy
_ZEROS = {"zeros", "zeros_like"}
_OUTER = ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom


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


def items_of(value: ast.expr) -> dict[str, ast.expr]:
    """The expressions in a display of a tuple or a mapping, by name."""
    match value:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return {name_of(part): part for part in parts}
        case ast.Dict(keys=keys, values=parts):
            pairs = zip(keys, parts, strict=True)
            return {str(k.value): part for k, part in pairs if isinstance(k, ast.Constant)}
        case ast.Call(func=ast.Name("dict"), keywords=keywords):
            return {k.arg: k.value for k in keywords if k.arg}
    return {name_of(value): value}


def returned(
    value: ast.expr, form: Form, values: Values, paths: Iterable[tuple[str, ...]]
) -> list[tuple[str, ast.expr, list[tuple[str, ast.stmt]]]]:
    """The expression of each gradient, found as `isolation.returned.named` does.

    With each: the variables whose value is the display that it stands in, and their statements.
    """
    parts = items_of(value)
    if isinstance(value, ast.Name) and value.id in values:
        keys = [p[1] for p in paths if p[:-1] == (value.id,)]  # grads["dW"] = ...
        parts = {key: ast.Subscript(value, ast.Constant(key)) for key in keys} or parts
        display, node = values[value.id]
        if not keys and (found := returned(display, form, values, paths)):
            return [(name, part, [*ways, (value.id, node)]) for name, part, ways in found]
    named = {n: parts[k] for n in form.gradients if (k := key_of(n, parts))}
    if isinstance(value, ast.Tuple | ast.List):
        in_order = form.required or form.gradients
        its = [(values.get(identifier(each), (each,))[0], each) for each in value.elts]
        mappings = [each for display, each in its if isinstance(display, ast.Dict)]
        if named and set(form.required) <= set(named):
            pass
        elif len(value.elts) == len(in_order) and len(mappings) != 1:
            named = dict(zip(in_order, value.elts, strict=True))
        else:  # a loss, and the gradients together
            inner = [returned(each, form, values, paths) for each in mappings or value.elts]
            return max(inner, key=len, default=[])
    else:
        named = {n: parts[n] for n in form.gradients if n in parts} | named
        if not named and len(form.gradients) == 1:
            named = {form.gradients[0]: value}
    return [(name, part, []) for name, part in named.items()]


def is_gradient(part: ast.expr, name: str) -> bool:
    """Whether an expression is a variable that is called the gradient of `name`."""
    its = name_of(part)
    return key_of(name, {its}) is not None or (its == name and isinstance(part, ast.Subscript))


def renamed(function: Function, mark: str, but: set[str]) -> tuple[Any, Names]:
    """A copy of a function, with a mark behind its variables, and what its names stand for."""
    body = [] if isinstance(function, ast.Lambda) else function.body
    others = {name for n in inner_nodes(function) if isinstance(n, _OUTER) for name in bound(n)}
    own = {a.arg for a in parameters_of(function)} | names_in(body).bound
    own -= others | but
    copy = deepcopy(function)
    for node in ast.walk(copy):
        match node:
            case ast.Name(id=name) if name in own:
                node.id = name + mark
            case ast.arg(arg=name) if name in own:
                node.arg = name + mark
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if name in own:
                node.name = name + mark
            case ast.Nonlocal(names=names):
                node.names = [name + mark if name in own else name for name in names]
    return copy, names_in([] if isinstance(copy, ast.Lambda) else copy.body)


def bound(node: Any) -> list[str]:
    """The names of a `global`, a `nonlocal` or an import."""
    return [n if isinstance(n, str) else n.asname or n.name.partition(".")[0] for n in node.names]


def parameters_of(function: Function) -> list[ast.arg]:
    """All parameters of a function."""
    its = function.args
    rest = [each for each in (its.vararg, its.kwarg) if each]
    return [*its.posonlyargs, *its.args, *its.kwonlyargs, *rest]


def arguments(call: ast.Call, function: Function) -> dict[str, ast.expr] | None:
    """The expression that each parameter gets; None if that cannot be told."""
    its = function.args
    names = [a.arg for a in (*its.posonlyargs, *its.args)]
    found = dict(zip(names[::-1], its.defaults[::-1], strict=False))
    found |= {a.arg: v for a, v in zip(its.kwonlyargs, its.kw_defaults, strict=True) if v}
    found |= dict(zip(names, call.args, strict=False))
    own = {unmarked(a.arg): a.arg for a in parameters_of(function)}
    found |= {own.get(str(k.arg), ""): k.value for k in call.keywords}
    strange = any(isinstance(n, ast.Starred) for n in call.args) or len(call.args) > len(names)
    strange |= any(isinstance(n, ast.Yield | ast.YieldFrom) for n in inner_nodes(function))
    return None if strange or set(found) != set(own.values()) else found


def inner_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions in it."""
    for node in ast.iter_child_nodes(function):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield from inner_nodes(node)


def is_strange(decorator: ast.expr, libraries: set[str]) -> bool:
    """Whether a decorator may change what a function returns."""
    name = identifier(root_of(decorator.func if isinstance(decorator, ast.Call) else decorator))
    return name not in {"staticmethod", "classmethod"} and name not in libraries


def is_exact(node: ast.AST) -> bool:
    """Whether an expression is a whole variable, not one of several in a list."""
    match node:
        case ast.Attribute(value=of) | ast.Subscript(value=of, slice=ast.Constant(value=str())):
            return is_exact(of)
    return isinstance(node, ast.Name)


def is_of_a_part(index: ast.expr) -> bool:
    """Whether an index always takes the same part of an array."""
    match index:
        case ast.Constant(value=int()) | ast.UnaryOp(operand=ast.Constant()):
            return True
        case ast.Slice(lower=lower, upper=upper):
            return bool(lower or upper)
        case ast.Tuple(elts=several):
            return any(map(is_of_a_part, several))
    return False


def is_blank(value: ast.AST) -> bool:
    """Whether an expression is zeros, or an empty list or mapping."""
    match value:
        case ast.Constant(value=0 | None) | ast.BinOp(left=ast.Constant(value=0), op=ast.Mult()):
            return True
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts):
            return all(map(is_blank, parts))
        case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each) | ast.DictComp(value=each):
            return is_blank(each)
        case ast.Call(func=function, args=[_], keywords=[]):
            return name_called(function) in _ZEROS
    return False


def goes_forward(node: ast.stmt) -> bool:
    """Whether it is a loop, and not one that takes the steps in reverse."""
    head = ast.unparse(node.iter) if isinstance(node, ast.For) else ""
    is_loop = isinstance(node, ast.For | ast.While)
    return is_loop and "reversed(" not in head and "-1" not in head


def leaves(node: ast.stmt) -> bool:
    """Whether a branch ends a round, a loop or the function."""
    return any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in inner_nodes(node))


def own_nodes(node: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement, without the statements in it."""
    for part in ast.iter_child_nodes(node):
        if not isinstance(part, ast.stmt | ast.excepthandler):
            yield from ast.walk(part)


def root_of(node: ast.AST) -> ast.AST:
    """`h` of h[t].T."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node


def identifier(node: ast.AST) -> str:
    """The name that an expression is, or nothing."""
    return node.id if isinstance(node, ast.Name) else ""


def name_called(function: ast.AST) -> str:
    """`dot` of np.dot and of dot."""
    return function.attr if isinstance(function, ast.Attribute) else identifier(function)


def unmarked(text: str) -> str:
    """The text as the file has it."""
    return re.sub(f"{MARK}[0-9]+", "", text)


def name_of(part: ast.expr) -> str:
    """`W` of W, self.W and p["W"]."""
    return unmarked(last_name(part))


def pairs(target: ast.expr, value: ast.expr) -> Pairs:
    """Each variable of an assignment, its value, and whether no other one is a part of that."""
    if isinstance(target, ast.Starred):
        return [(one, its, False) for one, its, _ in pairs(target.value, value)]
    if not isinstance(target, ast.Tuple | ast.List):
        return [(target, value, True)]
    parts = value.elts if isinstance(value, ast.Tuple | ast.List) else []
    is_starred = any(isinstance(each, ast.Starred) for each in [*parts, *target.elts])
    if len(parts) == len(target.elts) and not is_starred:
        both = zip(target.elts, parts, strict=True)
        return [pair for one, its in both for pair in pairs(one, its)]
    return [(one, value, False) for each in target.elts for one, *_ in pairs(each, value)]


def each_of(values: ast.expr) -> ast.expr:
    """What a loop over `values` assigns in a round: all that it may be."""
    match values:
        case ast.Call(func=ast.Name("reversed" | "list"), args=[inner]):
            return each_of(inner)
        case ast.Call(func=ast.Name("enumerate"), args=[inner]):
            return ast.Tuple([ast.Constant(0), each_of(inner)])
        case ast.Call(func=ast.Name("zip"), args=several, keywords=[]):
            return ast.Tuple([*map(each_of, several)])
    return ast.Starred(values)
