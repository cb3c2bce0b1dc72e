"""Which assignments of a function flow into the gradients that it returns: read, never run.

Every write is an assignment that replaces its variable; that of a part, as `dW[i] = ...` or
`h.append(...)`, also reads what was there, and changes what may be a second name of the same array.
Both branches and any number of rounds may have run. Functions, methods and objects of the same file
are followed into; where something else is called, the flow is unknown, and says so.
"""

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_numpy.isolation.calling import Form
from rnn_numpy.isolation.returned import key_of, last_name
from rnn_torch.checker.source import Function, Names, Source, names_in

_Path = tuple[str, ...]  # `self.dW` and `grads["dW"]` are variables of their own
_Reads = frozenset[int]  # assignments; ~n: perhaps a part of n only
_State = dict[_Path, _Reads]  # the assignments that a variable may come from
_Part = ast.Name | ast.Attribute | ast.Subscript
_ONLY_SHAPE = {"shape", "dtype", "ndim", "size", "len", "zeros_like", "ones_like", "empty_like"}
_ZEROS = {"zeros", "zeros_like"}
_VIEWS = {"reshape", "asarray", "transpose", "squeeze", "ravel", "swapaxes", "view", "split"}
_VIEWS |= {"array_split", "hsplit", "vsplit", "expand_dims", "broadcast_to", "items", "values"}
_VIEWS |= {"zip", "enumerate", "reversed", "list", "tuple", "dict", "get", "pop", "diagonal"}
_SUMS = {"sum", "mean", "max", "min", "sort", "sorted"}
_HIDDEN = {"exec", "eval", "compile", "getattr", "setattr", "vars", "globals", "locals", "super"}
_BUILTINS = set(dir(builtins)) - _HIDDEN
_METHODS = {name for each in (np.ndarray, list, dict, set, str) for name in dir(each)}
_NOTHING: _Reads = frozenset()
_DEEPEST = 8  # calls within calls
_LONGEST = 20_000  # statements that are looked at


class TooLong(Exception):
    """The flow of a function takes too long to find."""


@dataclass
class Assignment:
    """A statement that writes a variable, and the assignments that it reads.

    `plain`: it returns the variable that is named so. `misnamed`: it returns
    another one. `blank`: a buffer of zeros. `again`: its
    value is made of its own in an earlier round. `loop`: it only says which rounds there are,
    in the order of time.
    `unknown`: what is called here and not followed.
    """

    node: Any
    plain: bool = False
    misnamed: bool = False
    blank: bool = False
    again: bool = False
    loop: bool = False
    unknown: str = ""
    reads: _Reads = _NOTHING


@dataclass
class _Frame:
    """A function that is being read: its variables, its inner functions, what it returns."""

    names: Names
    outer: "_Frame | None" = None
    path: dict[str, _Path] = field(default_factory=dict)
    context: tuple[ast.AST, ...] = ()
    function: Function | None = None
    owner: ast.ClassDef | None = None
    caller: "_Frame | None" = None
    mark: str = ""
    last: bool = True  # what it returns are the gradients
    via: dict[str, int] = field(default_factory=dict)  # the call that gives a parameter its value
    returned: list[tuple[ast.expr, list[_Reads]]] = field(default_factory=list)
    second: set[_Path] = field(default_factory=set)  # what the returned value may be


class DataFlow:
    """The assignments of a function, and the numbers of those that each gradient comes from.

    Args:
        source: the function, in its file.
        form: what it is called with, and what it returns.

    Raises:
        TooLong: there are too many ways through it.
    """

    def __init__(self, source: Source, form: Form) -> None:
        self.assignments: list[Assignment] = []
        self.inputs: dict[str, _Reads] = {}
        self.gradients: dict[str, _Reads] = {}
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._values: dict[str, tuple[ast.expr, ast.stmt]] = {}
        self._aliases: dict[_Path, set[_Path]] = {}
        self._last: ast.expr | None = None  # the call that returns the gradients
        self._several: set[_Path] = set()  # objects of one name
        self._calls: dict[tuple[Any, ...], _Frame] = {}
        self._control: list[_Reads] = []
        self._old: list[set[int]] = []  # what was assigned before each loop
        self._loops = self._looked_at = 0
        self._globals: set[str] = set()
        parts = [n for n in ast.walk(source.tree) if isinstance(n, ast.Attribute)]
        self._attributes = {n.attr for n in parts if isinstance(n.ctx, ast.Store)}
        self._form = form
        self._at: Any = source.function
        module = _Frame(names_in(source.tree.body))
        self._frame = module
        state: _State = {}
        self._module(source, state)
        self._at = source.function
        function = source.function
        self._frame = _frame(function, module)
        self._frame.owner = source.owner
        names = [a.arg for a in _parameters(function) if a.arg != "self"]
        in_order = len(names) == len(form.inputs) and not set(names) <= set(form.inputs)
        for name, its in zip(form.inputs, names if in_order else form.inputs, strict=True):
            # or a global, or an attribute of its object, or in a mapping of all
            several = [("self", k, name) for k in ("params", "parameters", "weights")]
            for path in ((its,), ("self", name), *several):
                self._assign(function, path, _NOTHING, state)
            self.inputs[name] = state[(its,)] | state[("self", name)]
        self._first(source, state)
        for parameter, default in _defaults(function):
            if (parameter,) not in state and parameter != "self":
                self._assign(default or function, (parameter,), _NOTHING, state)
        for name in {"params", "parameters"} & set(names):
            self._assign(function, (name,), _NOTHING.union(*self.inputs.values()), state)
            state |= {(name, key): its for key, its in self.inputs.items()}
        self._block(function.body, state)
        if any(_is_strange(each, module.names) for each in function.decorator_list):
            number = self._unknown(function, "a decorator")
            self.gradients = {name: its | {number} for name, its in self.gradients.items()}
        for name in form.gradients if not self.gradients else ():
            attributes = {path[1]: path for path in state if len(path) == 2 and path[0] == "self"}
            where = [(name,), ("self", name)] if form.rate else []
            where += [attributes[key]] if (key := key_of(name, attributes)) else []
            if written := [state[p] for p in where if state[p] != self.inputs[name]]:
                self.gradients[name] = written[0]

    def before(
        self, assignments: Iterable[int], surely: bool = False, right: Iterable[int] = ()
    ) -> set[int]:
        """These assignments, and all that flow into them, but not through those that are right.

        `surely`: as a whole, not by a part.
        """
        seen = set(right)
        ahead = list(assignments)
        while ahead:
            number = ahead.pop()
            if number < 0 and surely:
                continue
            number = max(number, ~number)
            if number not in seen:
                seen.add(number)
                ahead += self.assignments[number].reads
        return seen - set(right)

    def _module(self, source: Source, state: _State) -> None:
        """The variables of the file, and the attributes that the class of the pass sets."""
        for node in source.tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                self._at = node
                self._statement(node, state)
        self._globals = {path[0] for path in state}
        if source.owner is None:
            return
        for node in source.owner.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._at = node
                    self._assign(node, ("self", name), self._read(value, state), state)
                case ast.FunctionDef(name="__init__"):
                    self._frame = _frame(node, self._frame)
                    for each in _parameters(node)[1:]:
                        self._assign(each, (each.arg,), _NOTHING, state)
                    self._block(node.body, state)
                    self._frame = self._frame.outer or self._frame
                    for path in [p for p in state if p[0] not in {"self", *self._globals}]:
                        del state[path]

    def _first(self, source: Source, state: _State) -> None:
        """The functions that are called before it; what they return has the names of variables."""
        outer = self._frame
        for function in source.before:
            self._frame = _frame(function, outer.outer, context=(function,))
            self._frame.owner, self._frame.last = source.owner, False
            free = {*self._form.inputs, "self"}
            self._frame.path = {n: (f"{n}'{function.name}",) for n in _locals(function) - free}
            for name in {a.arg for a in _parameters(function)} - free:
                self._assign(function, self._frame.path[name], _NOTHING, state)
            self._block(function.body, state)
            for value, reads in self._frame.returned:
                parts = value.elts if isinstance(value, ast.Tuple) else [value]
                for part, its in zip(parts, reads, strict=True):
                    state[(last_name(part),)] = its
                    self._link((last_name(part),), self._second(part, state))
        self._frame = outer

    def _number(self, key: ast.AST, path: _Path, **marks: Any) -> int:
        number = self._numbers.setdefault((self._frame.context, key, path), len(self.assignments))
        if number == len(self.assignments):  # not one of an earlier round of the loop
            self.assignments.append(Assignment(self._at, **marks))
        return number

    def _unknown(self, key: ast.AST, what: str) -> int:
        return self._number(key, ("unknown", what), unknown=what)

    def _assign(
        self, key: ast.AST, path: _Path, reads: _Reads, state: _State, blank: bool = False
    ) -> None:
        number = self._number(key, path, blank=blank)
        its = self.assignments[number]
        if any(path[: len(several)] == several for several in self._several):
            reads |= _known(path, state)  # another object of this name may be the one that is read
        its.reads = (its.reads | reads.union(*self._control)) - {number, ~number}
        for longer in [p for p in state if p[: len(path)] == path]:
            del state[longer]
        state[path] = frozenset({number})

    def _change(self, key: ast.AST, path: _Path, reads: _Reads, state: _State) -> None:
        """Change a variable in place, and perhaps what may be the same array."""
        self._assign(key, path, reads, state)
        seen, ahead = {path}, [path]
        while ahead:
            one = ahead.pop()
            for known, others in self._aliases.items():
                for other in others:
                    if known == one[: len(known)]:
                        other = (*other, *one[len(known) :])
                    elif known[: len(one)] != one:
                        continue
                    if other not in seen and len(other) < 6:
                        seen.add(other)
                        ahead.append(other)
        self._weaken(key, seen - {path}, reads, state)

    def _perhaps(
        self, key: ast.AST, parts: Sequence[ast.expr], reads: _Reads, state: _State
    ) -> None:
        """Each of these variables may be changed in place."""
        self._weaken(key, {p for part in parts for p in self._second(part, state)}, reads, state)

    def _weaken(self, key: ast.AST, paths: set[_Path], reads: _Reads, state: _State) -> None:
        for path in paths:
            if its := _known(path, state):
                number = self._number(key, ("perhaps", *path))
                self.assignments[number].reads |= _unsure(reads | its) - {number, ~number}
                state[path] = state.get(path, _NOTHING) | its | {number}

    def _link(self, path: _Path, others: set[_Path]) -> None:
        for other in others - {path}:
            self._aliases.setdefault(path, set()).add(other)
            self._aliases.setdefault(other, set()).add(path)

    def _second(self, value: ast.AST, state: _State) -> set[_Path]:
        """The variables of which the value of an expression may be a second name."""
        if path := self._path(value):
            return {path} if _known(path, state) else set()
        match value:
            case ast.Call(func=function):
                called = self._calls.get((self._frame.context, value))
                if called:
                    return called.second
                of: list[ast.expr] = []
                if isinstance(function, ast.Attribute):
                    of = [function.value]
                parts = [*value.args, *of]
                name = function.attr if isinstance(function, ast.Attribute) else _id(function)
                views = parts if name in _VIEWS else []
                return {p for each in views for p in self._second(each, state)}
            case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each):
                return self._second(each, state)
            case ast.Attribute() | ast.Subscript() | ast.Starred():
                return self._second(value.value, state)
            case ast.Tuple() | ast.List() | ast.Dict() | ast.IfExp() | ast.BoolOp():
                inner = ast.iter_child_nodes(value)
                return {p for each in inner for p in self._second(each, state)}
        return set()

    def _block(self, statements: Sequence[ast.stmt], state: _State) -> None:
        ends = len(self._control)
        for statement in statements:
            self._looked_at += 1
            if self._looked_at > _LONGEST:
                raise TooLong
            outer, self._at = self._at, statement
            self._statement(statement, state)
            self._at = outer
            if isinstance(statement, ast.If) and _leaves(statement):
                self._control.append(self._test(statement, statement.test, state))
        del self._control[ends:]

    def _test(self, node: ast.stmt, test: ast.expr, state: _State) -> _Reads:
        number = self._number(node, ("test",), loop=_goes_forward(node))
        self.assignments[number].reads |= self._read(test, state)
        return frozenset({number})

    def _statement(self, node: ast.stmt, state: _State) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(node, self._pairs(target, value, state), state)
                    if isinstance(target, ast.Name) and self._frame.last:
                        self._values[target.id] = value, node
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._bind(node, [(target, value, None)], state)
            case ast.AugAssign(target=target, value=value):
                if path := self._path(target):
                    reads = self._read(target, state) | self._read(value, state)
                    self._change(node, path, reads, state)
            case ast.Expr(value=ast.Call() as call):
                reads = self._read(call, state)
                if isinstance(call.func, ast.Attribute) and not self._function(call.func)[0]:
                    self._write(call, [call.func.value], reads, state)
                    path = self._path(call.func.value)
                    given = [self._read(each, state) for each in call.args]
                    if path and path in state:  # h.append(f(h[-1]))
                        self._repeated(path, _NOTHING.union(*given), state)
                if (self._frame.context, call) not in self._calls:
                    self._perhaps(call, call.args, reads, state)
            case ast.For(target=target, iter=values):
                self._loop(node, state, lambda: self._each(node, target, values, state))
            case ast.While(test=test):
                self._loop(node, state, lambda: None)
            case ast.If(test=test):
                self._control.append(self._test(node, test, state))
                other = dict(state)
                self._block(node.body, state)
                self._block(node.orelse, other)
                _merge(state, other)
                self._control.pop()
            case ast.With(items=items):
                for item in items:
                    self._read(item.context_expr, state)
                self._block(node.body, state)
            case ast.Try(handlers=handlers):
                self._block([*node.body, *node.orelse], state)
                for handler in handlers:
                    other = dict(state)
                    self._block(handler.body, other)
                    _merge(state, other)
                self._block(node.finalbody, state)
            case ast.FunctionDef() | ast.Import() | ast.ImportFrom():
                pass  # known by its name
            case ast.Return(value=ast.expr() as value):
                self._return(node, value, state)
            case ast.Match() | ast.ClassDef() | ast.AsyncFor() | ast.AsyncWith():
                for path in [*state]:
                    number = self._unknown(node, "a statement of this kind")
                    state[path] |= {number}
        for call in [n for n in _own(node) if isinstance(n, ast.Call)]:
            if out := [k.value for k in call.keywords if k.arg == "out"]:
                self._write(call, out, self._read(call, state), state)

    def _write(self, key: ast.AST, parts: Sequence[ast.expr], reads: _Reads, state: _State) -> None:
        """Each of these variables is changed in place."""
        for part in parts:
            for path in self._second(part, state):
                self._change(key, path, reads | _known(path, state), state)

    def _each(self, node: ast.For, target: ast.expr, values: ast.expr, state: _State) -> None:
        self._bind(node, self._parts(target, values, state), state)
        self._control[-1] |= self._test(node, values, state)

    def _loop(self, node: Any, state: _State, head: Callable[[], None]) -> None:
        before: _State = {}
        entry = dict(state)
        self._old.append({max(n, ~n) for its in state.values() for n in its})
        self._control.append(_NOTHING)
        self._loops += 1
        leaving = [n for n in ast.walk(node) if isinstance(n, ast.If) and _leaves(n)]
        while before != state:
            before = dict(state)
            if isinstance(node, ast.While):
                self._control[-1] |= self._test(node, node.test, state)
            head()
            self._block(node.body, state)
            for path, its in state.items():  # the next round reads that of all rounds but the last
                first = entry.get(path, _NOTHING)
                state[path] = first | _unsure(its - first)
            _merge(state, before)
            tests = {self._numbers.get((self._frame.context, n, ("test",))) for n in leaving}
            self._control[-1] |= {number for number in tests if number is not None}
        for path, its in state.items():
            first = entry.get(path, _NOTHING)
            state[path] = frozenset(n if n in first else max(n, ~n) for n in its)
        self._loops -= 1
        self._control.pop()
        self._old.pop()
        self._block(node.orelse, state)

    def _bind(
        self,
        node: ast.stmt,
        pairs: Iterable[tuple[ast.expr, ast.expr, _Reads | None]],
        state: _State,
    ) -> None:
        """Assign each value to its variable; its reads are given where it is a part of a value."""
        found = [
            (target, value, self._read(value, state) if reads is None else reads)
            for target, value, reads in pairs
        ]
        seconds = [self._second(value, state) for _, value, _ in found]
        for (target, value, reads), others in zip(found, seconds, strict=True):
            if not (path := self._path(target)):
                continue
            if not isinstance(target, ast.Name):
                value_reads = reads
                if not _is_exact(target):  # of a part
                    indices = [n.slice for n in ast.walk(target) if isinstance(n, ast.Subscript)]
                    reads = reads.union(
                        _known(path, state),
                        self._via(target),
                        *(self._read(index, state) for index in indices),
                    )
                self._change(node, path, reads, state)
                self._repeated(path, value_reads, state)
            else:
                blank = not self._loops and _is_blank(value)
                self._assign(node, path, reads, state, blank)
                self._repeated(path, reads, state)
            self._link(path, others)

    def _repeated(self, path: _Path, reads: _Reads, state: _State) -> None:
        """Note whether the value of a variable is made of its own in an earlier round."""
        for number in state[path]:
            self.assignments[number].again |= bool({number, ~number} & reads)

    def _pairs(
        self, target: ast.expr, value: ast.expr, state: _State
    ) -> list[tuple[ast.expr, ast.expr, _Reads | None]]:
        """Each variable of an assignment, its value, and what it reads if that is a part."""
        pairs = list(_pairs(target, value))
        if isinstance(target, ast.Tuple | ast.List) and all(its is value for _, its in pairs):
            reads = self._read(value, state)
            called = self._calls.get((self._frame.context, value))
            parts = [its for _, its in called.returned] if called else []
            if parts and {len(its) for its in parts} == {len(pairs)}:
                each = [_NOTHING.union(*its) for its in zip(*parts, strict=True)]
                return [(p[0], p[1], its) for p, its in zip(pairs, each, strict=True)]
            return [(one, its, _unsure(reads)) for one, its in pairs]
        return [(*pair, None) for pair in pairs]

    def _parts(
        self, target: ast.expr, values: ast.expr, state: _State
    ) -> list[tuple[ast.expr, ast.expr, _Reads | None]]:
        """The same for each round of a loop."""
        pairs = list(_pairs_of_each(target, values))
        its = [value for _, value in pairs]
        return [
            (one, value, _unsure(self._read(value, state)) if its.count(value) > 1 else None)
            for one, value in pairs
        ]

    def _return(self, node: Any, value: ast.expr, state: _State) -> None:
        frame = self._frame
        if not frame.last:
            parts = value.elts if isinstance(value, ast.Tuple) else [value]
            numbers = []
            for index, part in enumerate(parts):
                number = self._number(node, ("return", str(index)), plain=isinstance(part, _Part))
                reads = self._read(part, state)
                self.assignments[number].reads |= reads.union(*self._control)
                numbers.append(frozenset({number}))
            frame.returned.append((value, numbers))
            frame.second |= {p for part in parts for p in self._second(part, state)}
            return
        if isinstance(value, ast.Call) and self._function(value.func)[0] is not None:
            self._last = value
            self._read(value, state)
            return
        for name, part, where, more in self._returned(value, node, state):
            path = ("return", name)
            outer = self._at
            self._at = part if hasattr(part, "lineno") else where  # one line of several
            self._assign(part, path, self._read(part, state) | more, state)
            self._at = outer
            its = state.pop(path)
            is_its = key_of(name, {last_name(part)}) is not None
            is_its |= isinstance(part, ast.Subscript) and last_name(part) == name
            self.assignments[min(its)].plain = isinstance(part, _Part) and is_its
            self.assignments[min(its)].misnamed = isinstance(part, _Part) and not is_its
            self.gradients[name] = self.gradients.get(name, _NOTHING) | its

    def _path(self, node: ast.AST) -> _Path:
        """The variable that an expression is, or is a part of."""
        match node:
            case ast.Name(id=name):
                its = (frame.path[name] for frame in self._frames() if name in frame.path)
                return next(its, (name,))
            case ast.Attribute(value=of, attr="T") if "T" not in self._attributes:
                return self._path(of)
            case (
                ast.Attribute(value=of, attr=name)
                | ast.Subscript(value=of, slice=ast.Constant(value=str() as name))
            ):
                return (*path, name) if (path := self._path(of)) else ()
            case ast.Subscript(value=of):
                return self._path(of)
        return ()

    def _read(self, node: ast.AST, state: _State) -> _Reads:
        """The assignments that an expression reads, for more than a shape."""
        match node:
            case ast.BinOp(left=ast.Constant(value=0), op=ast.Mult()):  # 0 * W
                return _NOTHING
            case ast.Call():
                return self._call(node, state)
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp() | ast.DictComp():
                return self._comprehension(node, state)
            case ast.Lambda() | ast.NamedExpr() | ast.Yield() | ast.YieldFrom() | ast.Await():
                return frozenset({self._unknown(node, ast.unparse(node))})
        path = self._path(node)
        if not path:
            inner = [self._read(child, state) for child in ast.iter_child_nodes(node)]
            return _NOTHING.union(*inner)
        if _ONLY_SHAPE.intersection(path[1:]):
            return _NOTHING
        indices = [n.slice for n in ast.walk(node) if isinstance(n, ast.Subscript)]
        reads = _known(path, state) or self._outside(node, path, state)
        if any(map(_is_last, indices)):  # in the loop that appends it, each step's
            reads = frozenset(n if n in self._new() else min(n, ~n) for n in reads)
        elif any(map(_is_of_a_part, indices)):
            reads = _unsure(reads)
        return reads.union(self._via(node), *(self._read(index, state) for index in indices))

    def _via(self, node: ast.AST) -> _Reads:
        """The call that gives a parameter its value, if the variable is one."""
        name = _id(_root(node))
        for frame in self._frames():
            if name in frame.path or name in frame.names.bound:
                return frozenset({frame.via[name]}) if name in frame.via else _NOTHING
        return _NOTHING

    def _frames(self) -> Iterator[_Frame]:
        """The function that is being read, and those around it, up to the file."""
        frame: _Frame | None = self._frame
        while frame is not None:
            yield frame
            frame = frame.outer

    def _new(self) -> set[int]:
        """The assignments of this loop."""
        return set(range(len(self.assignments))) - self._old[-1] if self._old else set()

    def _outside(self, node: ast.AST, path: _Path, state: _State) -> _Reads:
        """What a name that no assignment has bound stands for: nothing, or something unknown."""
        name = _id(_root(node))
        for frame in self._frames():
            names = frame.names
            if name in names.libraries:
                return _NOTHING
            if name in names.bound or name in frame.path:
                is_local = frame.function is not None and name not in names.functions
                if is_local and len(path) < 2:
                    return _NOTHING  # not yet, in the first round of a loop
                return frozenset({self._unknown(node, ast.unparse(node))})
        known = name in _BUILTINS
        return _NOTHING if known else frozenset({self._unknown(node, ast.unparse(node))})

    def _comprehension(self, node: Any, state: _State) -> _Reads:
        inner = dict(state)
        reads, targets = _NOTHING, []
        self._loops += 1
        for loop in node.generators:
            for target, values, its in self._parts(loop.target, loop.iter, inner):
                if path := self._path(target):
                    inner[path] = self._read(values, inner) if its is None else its
                    self._link(path, self._second(values, state))
                    targets.append(path)
            reads |= _NOTHING.union(*(self._read(test, inner) for test in loop.ifs))
            reads |= _unsure(self._read(loop.iter, state))
        each = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        reads = reads.union(*(self._read(part, inner) for part in each))
        self._loops -= 1
        _merge(state, {p: its for p, its in inner.items() if p not in targets})
        return reads

    def _call(self, call: ast.Call, state: _State) -> _Reads:
        function = call.func
        found, owner = self._function(function)
        if found is not None:
            return self._follow(call, found, owner, state)
        given = [*call.args, *(k.value for k in call.keywords)]
        name = function.attr if isinstance(function, ast.Attribute) else _id(function)
        root = _id(_root(function))
        in_library = bool(root) and self._is_library(root)
        is_value = isinstance(function, ast.Attribute) and not in_library
        if is_value:
            is_known = name in _METHODS and not self._classes_with(name)
            given += [function.value] if isinstance(function, ast.Attribute) else []
        else:
            is_known = in_library or (name in _BUILTINS and not self._is_bound(name))
        if is_known and name in _ONLY_SHAPE:
            return _NOTHING
        reads = _NOTHING.union(*(self._read(part, state) for part in given))
        if is_known:  # a sum may be right whose terms are exchanged
            return _unsure(reads) if name in _SUMS else reads
        return self._unfollowed(call, state)

    def _unfollowed(self, call: ast.Call, state: _State) -> _Reads:
        """What a call of unknown code returns; it may change what it is given, and globals."""
        name = ast.unparse(call.func)
        given = [*call.args, *(k.value for k in call.keywords)]
        given += [call.func.value] if isinstance(call.func, ast.Attribute) else []
        reads = _NOTHING.union(*(self._read(part, state) for part in given))
        changed = {p for part in given for p in self._second(part, state)}
        changed |= {(each,) for each in self._globals if (each,) in state}
        self._weaken(call, changed, reads | {self._unknown(call, f"{name} ")}, state)
        return reads | {self._unknown(call, name)}

    def _is_library(self, name: str) -> bool:
        for frame in self._frames():
            if name in frame.names.bound:
                return False
            if name in frame.names.libraries:
                return True
        return False

    def _is_bound(self, name: str) -> bool:
        return any(name in frame.names.bound for frame in self._frames())

    def _classes_with(self, method: str) -> list[tuple[ast.ClassDef, ast.FunctionDef]]:
        *_, frame = self._frames()
        return [
            (each, node)
            for each in frame.names.classes.values()
            for node in each.body
            if isinstance(node, ast.FunctionDef) and node.name == method
        ]

    def _function(self, function: ast.expr) -> tuple[Function | None, ast.ClassDef | None]:
        """The function or method of this file that is called; of a class, its __init__."""
        if isinstance(function, ast.Name):
            for frame in self._frames():
                name, names = function.id, frame.names
                its_own = names.functions.get(name)
                if its_own is not None and not getattr(its_own, "decorator_list", []):
                    return its_own, None
                if name in names.classes and _is_plain(names.classes[name]):
                    return _init(names.classes[name]), names.classes[name]
                if name in names.bound:
                    break
        elif isinstance(function, ast.Attribute):
            its = self._classes_with(function.attr)
            if _id(function.value) == "self" and self._frame.owner is not None:
                its = [one for one in its if one[0] is self._frame.owner]
            if len(its) == 1 and not its[0][1].decorator_list:
                return its[0][1], its[0][0]
        return None, None

    def _follow(
        self, call: ast.Call, function: Function, owner: ast.ClassDef | None, state: _State
    ) -> _Reads:
        """What a call of a function of this file returns; its assignments are ours."""
        outer = self._frame
        context = (*outer.context, call)
        given = _arguments(call, function, owner)
        stack: list[Function | None] = []
        caller: _Frame | None = outer
        while caller is not None:
            stack.append(caller.function)
            caller = caller.caller
        if given is None or function in stack or len(context) > _DEEPEST:
            return self._unfollowed(call, state)
        around = [f for f in self._frames() if function in f.names.functions.values()]
        *_, module = self._frames()
        new = _frame(function, around[0] if around else module, context)
        new.caller, new.owner, new.last = outer, owner, call is self._last
        before = self._calls.get((outer.context, call))
        new.mark = before.mark if before else f"'{len(self._calls)}"
        kept = _kept(function)
        new.path = {n: (f"{n}{new.mark}",) for n in _locals(function)}
        for name, value in given.items():
            path = self._path(value) if isinstance(value, _Part) else ()
            if path and _known(path, state) and name in kept:
                via = self._number(value, ("via", name))
                self.assignments[via].reads |= self._read(value, state) - _known(path, state)
                new.path[name], new.via[name] = path, via
                if not _is_exact(value):
                    self._several.add(path)
                continue
            reads = self._read(value, state)
            second = self._second(value, state)
            self._assign(value, new.path[name], reads, state)
            self._link(new.path[name], second)
        made = None
        if owner is not None and isinstance(call.func, ast.Name):
            made = (f"{owner.name}{new.mark}",)
            self._several.add(made)
            new.path["self"] = made
        self._calls[(outer.context, call)] = new
        self._frame = new
        at = self._at
        if isinstance(function, ast.Lambda):
            self._at = function
            self._return(function, function.body, state)
        else:
            self._block(function.body, state)
        self._frame, self._at = outer, at
        if owner is not None and made is not None:
            new.second = {made}
            new.returned = []
            for node in owner.body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    its = self._read(node.value, state)
                    self._assign(node, (*made, node.targets[0].id), its, state)
            return _unsure(_known(made, state))
        reads = _NOTHING.union(*(its for _, parts in new.returned for its in parts))
        of = call.func.value if isinstance(call.func, ast.Attribute) else None
        return reads if of is None else reads | _unsure(self._read(of, state))

    def _returned(
        self, value: ast.expr, node: ast.stmt, state: _State
    ) -> list[tuple[str, ast.expr, ast.stmt, _Reads]]:
        """The expression of each gradient and its statement, found as `returned.named` does."""
        parts = _items(value)
        form = self._form
        if isinstance(value, ast.Name) and value.id in self._values:
            keys = [p[1] for p in state if p[:-1] == self._path(value)]  # grads["dW"] = ...
            parts = {key: ast.Subscript(value, ast.Constant(key)) for key in keys} or parts
            display = self._values[value.id]
            if not keys and (found := self._returned(*display, state)):
                its = _known(self._path(value), state)  # what changed it after it was made
                later = {n for n in its if self.assignments[max(n, ~n)].node is not display[1]}
                return [(*one[:3], one[3] | later) for one in found]
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
        return [(name, part, node, _NOTHING) for name, part in named.items()]

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


def _known(path: _Path, state: _State) -> _Reads:
    """The assignments of a variable, of what it is a part of, and of its parts."""
    related = [p for p in state if all(a == b for a, b in zip(p, path, strict=False))]
    return _NOTHING.union(*(state[p] if p == path else _unsure(state[p]) for p in related))


def _unsure(reads: _Reads) -> _Reads:
    """The same where perhaps only a part is read."""
    return frozenset(min(number, ~number) for number in reads)


def _frame(function: Function, outer: _Frame | None, context: tuple[ast.AST, ...] = ()) -> _Frame:
    body = [] if isinstance(function, ast.Lambda) else function.body
    names = names_in(body)
    names.bound |= {each.arg for each in _parameters(function)}
    return _Frame(names, outer, context=context, function=function)


def _parameters(function: Function) -> list[ast.arg]:
    its = function.args
    rest = [each for each in (its.vararg, its.kwarg) if each]
    return [*its.posonlyargs, *its.args, *its.kwonlyargs, *rest]


def _defaults(function: Function) -> list[tuple[str, ast.expr | None]]:
    """Each parameter and its default value."""
    its = function.args
    by_position = [*its.posonlyargs, *its.args]
    missing = [None] * (len(by_position) - len(its.defaults))
    values = [*missing, *its.defaults, *its.kw_defaults]
    pairs = zip([*by_position, *its.kwonlyargs], values, strict=True)
    return [(each.arg, value) for each, value in pairs]


def _arguments(
    call: ast.Call, function: Function, owner: ast.ClassDef | None
) -> dict[str, ast.expr] | None:
    """The expression that each parameter gets; None if that cannot be told."""
    defaults = dict(_defaults(function))
    if any(
        isinstance(n, ast.Yield | ast.YieldFrom | ast.Starred)
        for n in [*_inner(function), *call.args]
    ):
        return None
    if len(defaults) < len(_parameters(function)) or any(k.arg is None for k in call.keywords):
        return None
    names = list(defaults)
    given = list(call.args)
    if owner is not None and isinstance(call.func, ast.Attribute):
        given.insert(0, call.func.value)
    elif owner is not None:
        names = names[1:]  # an object that is made
    if len(given) > len(names):
        return None
    found = dict(zip(names, given, strict=False)) | {str(k.arg): k.value for k in call.keywords}
    found = {n: v for n in names if (v := found.get(n, defaults[n])) is not None}
    return found if len(found) == len(names) else None


def _locals(function: Function) -> set[str]:
    """The variables of a function."""
    names = {each.arg for each in _parameters(function)}
    if isinstance(function, ast.FunctionDef):
        names |= names_in(function.body).bound
        for node in _inner(function):
            if isinstance(node, ast.Global | ast.Nonlocal):
                names -= set(node.names)
    return names


def _inner(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions in it."""
    for node in ast.iter_child_nodes(function):
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield from _inner(node)


def _kept(function: Function) -> set[str]:
    """The parameters that stay what was passed: they are never bound anew."""
    bound = {
        node.id
        for each in _inner(function)
        if not isinstance(each, ast.AugAssign)
        for node in ast.iter_child_nodes(each)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return {each.arg for each in _parameters(function)} - bound


def _init(owner: ast.ClassDef) -> Function:
    """The method that makes an object; one that does nothing if the class has none."""
    its = [n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    return its[-1] if its else _NO_INIT


_NO_INIT: Function = ast.parse("lambda self: None", mode="eval").body  # type: ignore[assignment]


def _is_plain(owner: ast.ClassDef) -> bool:
    """Whether making an object and reading its attributes does nothing else."""
    methods = [n for n in owner.body if isinstance(n, ast.FunctionDef)]
    special = {m.name for m in methods if m.name.startswith("__")} - {"__init__", "__repr__"}
    bases = [base for base in owner.bases if _id(base) != "object"]
    decorated = [*owner.decorator_list, *(d for m in methods for d in m.decorator_list)]
    return not (special or bases or decorated or owner.keywords)


def _is_strange(decorator: ast.expr, names: Names) -> bool:
    """Whether a decorator may change what a function returns."""
    name = _id(_root(decorator.func if isinstance(decorator, ast.Call) else decorator))
    return name not in {"staticmethod", "classmethod"} and name not in names.libraries


def _is_exact(node: ast.AST) -> bool:
    """Whether an expression is a whole variable, not one of several in a list."""
    match node:
        case ast.Attribute(value=of) | ast.Subscript(value=of, slice=ast.Constant(value=str())):
            return _is_exact(of)
    return isinstance(node, ast.Name)


def _is_last(index: ast.expr) -> bool:
    return ast.unparse(index) == "-1"


def _is_of_a_part(index: ast.expr) -> bool:
    """Whether an index always takes the same part of an array."""
    match index:
        case ast.Constant(value=int()) | ast.UnaryOp(operand=ast.Constant()):
            return True
        case ast.Slice(lower=lower, upper=upper):
            return bool(lower or upper)
        case ast.Tuple(elts=several):
            return any(map(_is_of_a_part, several))
    return False


def _is_blank(value: ast.AST) -> bool:
    """Whether an expression is zeros, or an empty list or mapping."""
    match value:
        case ast.Constant(value=0 | None) | ast.BinOp(left=ast.Constant(value=0), op=ast.Mult()):
            return True
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts):
            return all(map(_is_blank, parts))
        case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each) | ast.DictComp(value=each):
            return _is_blank(each)
        case ast.Call(func=function, args=[_], keywords=[]):
            name = function.attr if isinstance(function, ast.Attribute) else _id(function)
            return name in _ZEROS
    return False


def _goes_forward(node: ast.stmt) -> bool:
    """Whether it is a loop, and not one that takes the steps in reverse."""
    head = ast.unparse(node.iter) if isinstance(node, ast.For) else ""
    is_loop = isinstance(node, ast.For | ast.While)
    return is_loop and "reversed(" not in head and "-1" not in head


def _leaves(node: ast.stmt) -> bool:
    """Whether a branch ends a round, a loop or the function."""
    return any(isinstance(n, ast.Break | ast.Continue | ast.Return) for n in _inner(node))


def _own(node: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement, without the statements in it."""
    for part in ast.iter_child_nodes(node):
        if not isinstance(part, ast.stmt | ast.excepthandler):
            yield from ast.walk(part)


def _root(node: ast.AST) -> ast.AST:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node


def _id(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _merge(state: _State, other: _State) -> None:
    for path, numbers in other.items():
        state[path] = state.get(path, frozenset()) | numbers


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each variable of an assignment, and its value, which others may be parts of, too."""
    if isinstance(target, ast.Starred):
        target = target.value
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value
    elif (
        isinstance(value, ast.Tuple | ast.List)
        and len(value.elts) == len(target.elts)
        and not any(isinstance(each, ast.Starred) for each in [*value.elts, *target.elts])
    ):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, its)
    else:
        for each in target.elts:
            yield from ((one, value) for one, _ in _pairs(each, value))


def _pairs_of_each(target: ast.expr, values: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The same for a loop over `values`, which may be `zip(...)` or `enumerate(...)`."""
    match target, values:
        case _, ast.Call(func=ast.Name("reversed" | "list"), args=[inner]):
            yield from _pairs_of_each(target, inner)
        case ast.Tuple(elts=[number, one]), ast.Call(func=ast.Name("enumerate"), args=[inner]):
            yield number, ast.Constant(0)
            yield from _pairs_of_each(one, inner)
        case ast.Tuple(elts=several), ast.Call(func=ast.Name("zip"), args=inner) if len(
            several
        ) == len(inner):
            for one, its in zip(several, inner, strict=True):
                yield from _pairs_of_each(one, its)
        case _:
            yield from _pairs(target, values)
