"""Which assignments of a function flow into the gradients that it returns: read, never run.

Every write is an assignment that replaces its variable; that of a part, as `dW[i] = ...` or
`h.append(...)`, also reads what was there. Only data flows: conditions and loops are no part of it,
but both branches and any number of rounds may have run. A called function is not followed, nor a
second name of the same array.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_numpy.isolation.calling import Form
from rnn_numpy.isolation.returned import key_of, last_name

_Path = tuple[str, ...]  # `self.dW` and `grads["dW"]` are variables of their own
_State = dict[_Path, frozenset[int]]  # the assignments that a variable may come from
_Part = ast.Name | ast.Attribute | ast.Subscript
_ONLY_SHAPE = {"shape", "dtype", "ndim", "size", "len", "zeros_like", "ones_like", "empty_like"}


@dataclass
class Assignment:
    """A statement that writes a variable, and the assignments that it reads.

    `shared`: it unpacks one value into several variables. `plain`: it returns a variable.
    """

    node: Any
    shared: bool = False
    plain: bool = False
    reads: frozenset[int] = frozenset()


class DataFlow:
    """The assignments of a function, and the numbers of those that each gradient comes from.

    Args:
        function: its tree.
        form: what it is called with, and what it returns.
    """

    def __init__(self, function: ast.FunctionDef, form: Form) -> None:
        self.assignments: list[Assignment] = []
        self.inputs: dict[str, frozenset[int]] = {}
        self.gradients: dict[str, frozenset[int]] = {}
        self._numbers: dict[tuple[ast.AST, _Path], int] = {}
        self._values: dict[str, tuple[ast.expr, ast.stmt]] = {}
        self._form = form
        state: _State = {}
        names = [a.arg for a in function.args.posonlyargs + function.args.args if a.arg != "self"]
        in_order = len(names) == len(form.inputs) and not set(names) <= set(form.inputs)
        for name, its in zip(form.inputs, names if in_order else form.inputs, strict=True):
            for path in ((its,), ("self", name)):  # or a global, or an attribute of its object
                self._assign(function, path, frozenset(), state)
            self.inputs[name] = state[(its,)] | state[("self", name)]
        self._block(function.body, state)
        for name in form.gradients if not self.gradients else ():
            attributes = {path[1]: path for path in state if len(path) == 2 and path[0] == "self"}
            where = [(name,), ("self", name)] if form.rate else []
            where += [attributes[key]] if (key := key_of(name, attributes)) else []
            if written := [state[p] for p in where if state[p] != self.inputs[name]]:
                self.gradients[name] = written[0]

    def before(self, assignments: Iterable[int]) -> set[int]:
        """These assignments, and all that flow into them."""
        seen: set[int] = set()
        ahead = list(assignments)
        while ahead:
            if (number := ahead.pop()) not in seen:
                seen.add(number)
                ahead += self.assignments[number].reads
        return seen

    def _assign(
        self, node: ast.AST, path: _Path, reads: frozenset[int], state: _State, shared: bool = False
    ) -> None:
        number = self._numbers.setdefault((node, path), len(self.assignments))
        if number == len(self.assignments):  # not one of an earlier round of the loop
            self.assignments.append(Assignment(node, shared))
        self.assignments[number].reads |= reads
        for longer in [p for p in state if p[: len(path)] == path]:
            del state[longer]
        state[path] = frozenset({number})

    def _block(self, statements: Sequence[ast.stmt], state: _State) -> None:
        for statement in statements:
            self._statement(statement, state)

    def _statement(self, node: ast.stmt, state: _State) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(node, _pairs(target, value), state)
                    if isinstance(target, ast.Name):
                        self._values[target.id] = value, node
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._bind(node, [(target, value, False)], state)
            case ast.AugAssign(target=target, value=value):
                reads = _read(target, state) | _read(value, state)
                self._assign(node, _path(target), reads, state)
            case ast.Expr(value=ast.Call(func=function, args=arguments)):
                owner = [function.value] if isinstance(function, ast.Attribute) else []
                self._write(node, [*owner, *arguments], state)  # perhaps it changes them
            case ast.For(target=target, iter=values):
                pairs = list(_pairs_of_each(target, values))
                self._loop(node.body, state, lambda: self._bind(node, pairs, state))
                self._block(node.orelse, state)
            case ast.While():
                self._loop(node.body, state, lambda: None)
                self._block(node.orelse, state)
            case ast.If():
                other = dict(state)
                self._block(node.body, state)
                self._block(node.orelse, other)
                _merge(state, other)
            case ast.With():
                self._block(node.body, state)
            case ast.Try():
                self._block([*node.body, *node.orelse, *node.finalbody], state)
            case ast.FunctionDef(name=name):
                self._assign(node, (name,), _read(node, state), state)
            case ast.Return(value=ast.expr() as value):
                for name, part, where in self._returned(value, node, state):
                    path = ("return", name)
                    self._assign(where, path, _read(part, state), state)
                    its = state.pop(path)
                    self.assignments[min(its)].plain = isinstance(part, _Part)
                    self.gradients[name] = self.gradients.get(name, frozenset()) | its
        if isinstance(node, ast.Assign | ast.Expr):
            keywords = [k for n in ast.walk(node) if isinstance(n, ast.Call) for k in n.keywords]
            self._write(node, [k.value for k in keywords if k.arg == "out"], state)

    def _write(self, node: ast.stmt, parts: Sequence[ast.expr], state: _State) -> None:
        """Each of these variables is changed in place by the statement."""
        reads = _read(node, state)
        for path in map(_path, parts):
            if path and _known(path, state):
                self._assign(node, path, reads | _known(path, state), state)

    def _loop(self, body: Sequence[ast.stmt], state: _State, head: Callable[[], None]) -> None:
        before: _State = {}
        while before != state:
            before = dict(state)
            head()
            self._block(body, state)
            _merge(state, before)

    def _bind(
        self, node: ast.stmt, pairs: Iterable[tuple[ast.expr, ast.expr, bool]], state: _State
    ) -> None:
        found = [(target, _read(value, state), shared) for target, value, shared in pairs]
        for target, reads, shared in found:
            path = _path(target)
            if isinstance(target, ast.Subscript) and path == _path(target.value):  # of a part
                reads |= _read(target, state)
            if path:
                self._assign(node, path, reads, state, shared)

    def _returned(
        self, value: ast.expr, node: ast.stmt, state: _State
    ) -> list[tuple[str, ast.expr, ast.stmt]]:
        """The expression of each gradient and its statement, found as `returned.named` does."""
        parts = _items(value)
        form = self._form
        if isinstance(value, ast.Name) and value.id in self._values:
            keys = [p[1] for p in state if p[0] == value.id and len(p) == 2]  # grads["dW"] = ...
            parts = {key: ast.Subscript(value, ast.Constant(key)) for key in keys} or parts
            if not keys and (found := self._returned(*self._values[value.id], state)):
                return found
        named = {n: parts[k] for n in form.gradients if (k := key_of(n, parts))}
        if isinstance(value, ast.Tuple | ast.List):
            in_order = form.required or form.gradients
            mappings = [each for each in value.elts if self._is_mapping(each)]
            if named and set(form.required) <= set(named):
                pass
            elif len(value.elts) == len(in_order) and len(mappings) != 1:
                named = dict(zip(in_order, value.elts, strict=True))
            else:  # a loss, and the gradients together
                inner = [self._returned(each, node, state) for each in mappings or value.elts]
                return max(inner, key=len, default=[])
        else:
            named = {n: parts[n] for n in form.gradients if n in parts} | named
            if not named and len(form.gradients) == 1:
                named = {form.gradients[0]: value}
        return [(name, part, node) for name, part in named.items()]

    def _is_mapping(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Name) and value.id in self._values:
            value = self._values[value.id][0]
        return isinstance(value, ast.Dict)


def _items(value: ast.expr) -> dict[str, ast.expr]:
    """The expressions in a display of a tuple or a mapping, by name."""
    match value:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return {last_name(part): part for part in parts}
        case ast.Dict(keys=keys, values=parts):
            pairs = zip(keys, parts, strict=True)
            return {str(k.value): part for k, part in pairs if isinstance(k, ast.Constant)}
        case ast.Call(func=ast.Name("dict"), keywords=keywords):
            return {k.arg: k.value for k in keywords if k.arg}
    return {last_name(value): value}


def _path(node: ast.AST) -> _Path:
    """The variable that an expression is, or is a part of."""
    match node:
        case ast.Name(id=name):
            return (name,)
        case (
            ast.Attribute(value=of, attr=name)
            | ast.Subscript(value=of, slice=ast.Constant(value=str() as name))
        ):
            return (*path, name) if (path := _path(of)) else ()
        case ast.Subscript(value=of):
            return _path(of)
    return ()


def _known(path: _Path, state: _State) -> frozenset[int]:
    """The assignments of a variable, of what it is a part of, and of its parts."""
    related = [p for p in state if all(a == b for a, b in zip(p, path, strict=False))]
    return frozenset().union(*(state[p] for p in related))


def _read(node: ast.AST, state: _State) -> frozenset[int]:
    """The assignments that an expression reads, for more than a shape."""
    path = _path(node)
    match node:
        case ast.BinOp(left=ast.Constant(value=0), op=ast.Mult()):  # 0 * W
            return frozenset()
        case ast.Call(func=function) if _ONLY_SHAPE.intersection(_path(function)):
            return frozenset()
        case ast.GeneratorExp(elt=each) | ast.ListComp(elt=each):
            inner = dict(state)
            for loop in node.generators:
                for target, values, _ in _pairs_of_each(loop.target, loop.iter):
                    inner[_path(target)] = _read(values, inner)
            return _read(each, inner)
    if _ONLY_SHAPE.intersection(path):
        return frozenset()
    if not path:
        return frozenset().union(*(_read(child, state) for child in ast.iter_child_nodes(node)))
    indices = [n.slice for n in ast.walk(node) if isinstance(n, ast.Subscript)]
    return _known(path, state).union(*(_read(index, state) for index in indices))


def _merge(state: _State, other: _State) -> None:
    for path, numbers in other.items():
        state[path] = state.get(path, frozenset()) | numbers


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """Each variable of an assignment, its value, and whether others are parts of that, too."""
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value, False
    elif isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, its)
    else:
        for each in target.elts:
            yield from ((one, value, True) for one, _, _ in _pairs(each, value))


def _pairs_of_each(target: ast.expr, values: ast.expr) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """The same for a loop over `values`, which may be `zip(...)` or `enumerate(...)`."""
    match target, values:
        case _, ast.Call(func=ast.Name("reversed" | "list"), args=[inner]):
            yield from _pairs_of_each(target, inner)
        case ast.Tuple(elts=[number, one]), ast.Call(func=ast.Name("enumerate"), args=[inner]):
            yield number, ast.Constant(0), False
            yield from _pairs_of_each(one, inner)
        case ast.Tuple(elts=several), ast.Call(func=ast.Name("zip"), args=inner) if len(
            several
        ) == len(inner):
            for one, its in zip(several, inner, strict=True):
                yield from _pairs_of_each(one, its)
        case _:
            yield from ((one, values, shared) for one, _, shared in _pairs(target, ast.Constant(0)))
