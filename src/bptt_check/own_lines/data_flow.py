"""Which assignments of a function flow into the gradients that it returns: read, never run.

Every write is an assignment that replaces its variable; that of a part, as `dW[i] = ...` or
`h.append(...)`, also reads what was there, and changes what may be a second name of the same array.
Both branches and any number of rounds may have run. A call of a function of the same file is read
as a copy of its body with variables of its own. What else is called, such as a method of an object,
may do anything to what it is given: the flow is unknown there, and says so.
"""

import ast
import builtins
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bptt_check.candidate.calling import Form
from bptt_check.candidate.returned import key_of
from bptt_check.own_lines import source as syntax
from bptt_check.own_lines.source import Function, Source, names_in

_Path = tuple[str, ...]  # `self.dW` and `grads["dW"]` are variables of their own
_Reads = frozenset[int]  # assignments; ~n: perhaps a part of n only
_State = dict[_Path, _Reads]  # the assignments that a variable may come from
_Part = ast.Name | ast.Attribute | ast.Subscript
_ONLY_SHAPE = {"shape", "dtype", "ndim", "size", "len", "zeros_like", "ones_like", "empty_like"}
_VIEWS = {"reshape", "asarray", "transpose", "squeeze", "ravel", "swapaxes", "view", "split"}
_VIEWS |= {"array_split", "hsplit", "vsplit", "expand_dims", "broadcast_to", "items", "values"}
_VIEWS |= {"zip", "enumerate", "reversed", "list", "tuple", "dict", "get", "pop", "diagonal"}
_SUMS = {"sum", "mean", "max", "min", "sort", "sorted"}  # right even if the terms are exchanged
_HIDDEN = {"exec", "eval", "compile", "getattr", "setattr", "vars", "globals", "locals", "super"}
_BUILTINS = set(dir(builtins)) - _HIDDEN | {"xrange"}  # Python 2 has it, and our loader
_METHODS = {name for each in (np.ndarray, list, dict, set, str) for name in dir(each)}
_KEPT = "¬"  # the variable of what one function returns to the next one
_NOTHING: _Reads = frozenset()
_DEEPEST = 8  # calls within calls
_LONGEST = 20_000  # statements that are looked at
_MOST_NAMES = 500  # of one array


class TooLong(Exception):
    """The flow of a function takes too long to find."""


@dataclass
class Assignment:
    """A statement that writes a variable, and the assignments that it reads.

    `plain`: it returns the variable that is named so; `misnamed`: another one. `blank`: a buffer of
    zeros. `loop`: it only says which rounds there are, in the order of time. `unknown`: what is
    called here and not followed. It reads itself where its value is made of an earlier round's.
    """

    node: Any
    plain: bool = False
    misnamed: bool = False
    blank: bool = False
    loop: bool = False
    unknown: str = ""
    reads: _Reads = _NOTHING


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
        self.gradients: dict[str, _Reads] = {}
        self._form = form
        self._at: Any = source.function  # the statement that is read
        self._numbers: dict[tuple[ast.AST, _Path], int] = {}
        self._values: dict[str, tuple[ast.expr, ast.stmt]] = {}
        self._aliases: dict[_Path, set[_Path]] = {}
        self._copies: dict[ast.AST, tuple[Any, str]] = {}  # of what is called here, and its mark
        self._stack: list[tuple[ast.AST, str]] = []  # the functions that are read; their results
        self._control: list[_Reads] = []
        self._strange: set[int] = set()  # what may have changed anything
        self._loops = self._looked_at = 0
        self._globals: set[_Path] = set()
        self._names = names_in(source.tree.body)
        nodes = list(ast.walk(source.tree))
        bodies = [node.body for node in nodes if isinstance(node, ast.ClassDef)]
        self._methods = _METHODS - {getattr(n, "name", "") for body in bodies for n in body}
        stored = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
        self._has_T = any(n.attr == "T" for n in stored)
        state: _State = {}
        assigned = ast.Assign | ast.AnnAssign | ast.AugAssign
        self._block([n for n in source.tree.body if isinstance(n, assigned)], state)
        self._globals |= set(state)
        self._pass(source, state)
        decorators = source.function.decorator_list
        if any(syntax.is_strange(each, self._names.libraries) for each in decorators):
            self._strange.add(self._unknown(source.function, "a decorator"))
        for name in self.gradients:
            self.gradients[name] |= _unsure(frozenset(self._strange))

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

    def _pass(self, source: Source, state: _State) -> None:
        """Read the functions that are called in turn; by name, one's results are the next one's."""
        form, function = self._form, source.function
        names = [a.arg for a in syntax.parameters_of(function) if a.arg != "self"]
        in_order = len(names) == len(form.inputs) and not set(names) <= set(form.inputs)
        own = dict(zip(names if in_order else form.inputs, form.inputs, strict=True))
        for name in form.inputs:  # or a global, or an attribute
            self._assign(function, (name,), _NOTHING, state)
            state["self", name] = state[(name,)]
        inputs = dict(state)
        body = source.owner.body if source.owner else []
        init = [n for n in body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        mark = ""
        for each in [*init[-1:], *source.before, function]:
            copy, mark = self._copied(each, each, {"self"})
            for name in {a.arg for a in syntax.parameters_of(each)} - {"self"}:
                given = (own[name],) if name in own else (_KEPT, name)
                self._assign(function, (name + mark,), _NOTHING, state)
                if given in state:
                    state[(name + mark,)] = state[given]
                    self._link((name + mark,), {given})
            self._stack.append((each, "" if each is function else _KEPT))
            self._block(copy.body, state)
            self._stack.pop()
        attributes = {path[1]: path for path in state if len(path) == 2 and path[0] == "self"}
        for mine, name in own.items() if not self.gradients else ():
            where = [(mine + mark,), (name,), ("self", name)] if form.rate else []
            where += [attributes[key]] if (key := key_of(name, attributes)) else []
            its = [_known(path, state) for path in where if path in state]
            if written := [each for each in its if each != inputs[(name,)]]:
                self.gradients |= {name: written[0]} if name in form.gradients else {}

    def _copied(self, function: Function, key: ast.AST, but: set[str]) -> tuple[Any, str]:
        """The copy of a function that is called here, and the mark of its variables."""
        if key not in self._copies:
            mark = f"{syntax.MARK}{len(self._copies)}"
            copy, names = syntax.renamed(function, mark, but)
            self._names.functions |= names.functions
            self._names.libraries |= names.libraries - self._names.bound
            self._names.bound |= names.bound
            self._copies[key] = copy, mark
        return self._copies[key]

    def _number(self, key: ast.AST, path: _Path, **marks: Any) -> int:
        number = self._numbers.setdefault((key, path), len(self.assignments))
        if number == len(self.assignments):  # not one of an earlier round of the loop
            self.assignments.append(Assignment(self._at, **marks))
        return number

    def _unknown(self, key: ast.AST, what: str) -> int:
        return self._number(key, ("unknown", what), unknown=syntax.unmarked(what))

    def _assign(
        self, key: ast.AST, path: _Path, reads: _Reads, state: _State, blank: bool = False
    ) -> None:
        number = self._number(key, path, blank=blank)
        self.assignments[number].reads |= reads.union(*self._control)
        for longer in [p for p in state if p[: len(path)] == path]:
            del state[longer]
        state[path] = frozenset({number})

    def _change(self, key: ast.AST, path: _Path, reads: _Reads, state: _State) -> None:
        """Write into a variable, and perhaps into what may be the same array."""
        self._assign(key, path, reads, state)
        seen, ahead = {path}, [path]
        while ahead:
            one = ahead.pop()
            for known, others in self._aliases.items():
                if known == one[: len(known)]:
                    others = {(*other, *one[len(known) :]) for other in others}
                elif known[: len(one)] != one:
                    continue
                new = {other for other in others - seen if len(other) < 6}
                seen |= new
                ahead += new
            if len(seen) > _MOST_NAMES:
                raise TooLong
        self._weaken(key, seen - {path}, reads, state)

    def _weaken(self, key: ast.AST, paths: set[_Path], reads: _Reads, state: _State) -> None:
        """Each of these variables may be changed in place."""
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
        of: list[ast.AST] = []
        match value:
            case ast.Call() if value in self._copies:
                return {("return" + self._copies[value][1],)}
            case ast.Call(func=function, args=given) if syntax.name_called(function) in _VIEWS:
                of = [*given, *([function.value] if isinstance(function, ast.Attribute) else [])]
            case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each):
                of = [each]
            case ast.Attribute() | ast.Subscript() | ast.Starred():
                of = [value.value]
            case ast.Tuple() | ast.List() | ast.Dict() | ast.IfExp() | ast.BoolOp():
                of = list(ast.iter_child_nodes(value))
        return {p for each in of for p in self._second(each, state)}

    def _block(self, statements: Sequence[ast.stmt], state: _State) -> None:
        ends = len(self._control)
        for statement in statements:
            self._looked_at += 1
            if self._looked_at > _LONGEST:
                raise TooLong
            outer, self._at = self._at, statement
            self._statement(statement, state)
            for call in [n for n in syntax.own_nodes(statement) if isinstance(n, ast.Call)]:
                for out in [k.value for k in call.keywords if k.arg == "out"]:
                    for path in self._second(out, state):
                        self._change(call, path, self._kept(call, path, call, state), state)
            self._at = outer
            if isinstance(statement, ast.If) and syntax.leaves(statement):
                self._control.append(self._test(statement, statement.test, state))
        del self._control[ends:]

    def _kept(self, key: ast.AST, path: _Path, read: ast.AST, state: _State) -> _Reads:
        """What a part of a variable leaves of it, and reads; not itself in an earlier round."""
        number = self._number(key, path)
        return (self._read(read, state) | _known(path, state)) - {number, ~number}

    def _test(self, node: ast.stmt, test: ast.expr, state: _State) -> _Reads:
        number = self._number(node, ("test",), loop=syntax.goes_forward(node))
        self.assignments[number].reads |= self._read(test, state)
        return frozenset({number})

    def _statement(self, node: ast.stmt, state: _State) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(node, syntax.pairs(target, value), state)
                    if isinstance(target, ast.Name):
                        self._values[target.id] = value, node
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._bind(node, syntax.pairs(target, value), state)
            case ast.AugAssign(target=target, value=value):
                if path := self._path(target):
                    kept = self._kept(node, path, target, state)
                    self._change(node, path, kept | self._read(value, state), state)
            case ast.Expr(value=ast.Call() as call):
                self._effects(call, state)
            case ast.For(target=target, iter=values):
                each = syntax.pairs(target, syntax.each_of(values))
                self._loop(node, values, lambda: self._bind(node, each, state), state)
            case ast.While(test=test):
                self._loop(node, test, lambda: None, state)
            case ast.If(test=test):
                self._control.append(self._test(node, test, state))
                other = dict(state)
                self._block(node.body, state)
                self._block(node.orelse, other)
                _merge(state, other)
                self._control.pop()
            case ast.With(items=items):
                for item in items:
                    target = item.optional_vars or ast.Constant(None)
                    self._bind(node, syntax.pairs(target, item.context_expr), state)
                self._block(node.body, state)
            case ast.Return(value=ast.expr() as value):
                self._return(node, value, state)
            case ast.Match() | ast.ClassDef() | ast.Try() | ast.TryStar():
                self._strange.add(self._unknown(node, f"this {type(node).__name__.lower()}"))

    def _effects(self, call: ast.Call, state: _State) -> None:
        """A call whose result is dropped changes its object, and perhaps what it is given."""
        reads = self._read(call, state)
        if isinstance(call.func, ast.Attribute):
            given = _NOTHING.union(*(self._read(each, state) for each in call.args))
            for path in self._second(call.func.value, state):
                kept = self._kept(call, path, call.func.value, state)
                self._change(call, path, given | kept, state)
        if call not in self._copies:
            changed = {p for part in call.args for p in self._second(part, state)}
            self._weaken(call, changed, reads, state)

    def _loop(
        self, node: ast.For | ast.While, test: ast.expr, head: Callable[[], None], state: _State
    ) -> None:
        before: _State = {}
        entry = dict(state)
        self._control.append(_NOTHING)
        self._loops += 1
        leaving = [n for n in ast.walk(node) if isinstance(n, ast.If) and syntax.leaves(n)]
        while before != state:
            before = dict(state)
            head()
            self._control[-1] |= self._test(node, test, state)
            self._block(node.body, state)
            for path, its in state.items():  # the next round reads that of all rounds but the last
                first = entry.get(path, _NOTHING)
                state[path] = first | _unsure(its - first)
            _merge(state, before)
            tests = {self._numbers.get((n, ("test",))) for n in leaving}
            self._control[-1] |= {number for number in tests if number is not None}
        for path, its in state.items():
            first = entry.get(path, _NOTHING)
            state[path] = frozenset(n if n in first else max(n, ~n) for n in its)
        self._loops -= 1
        self._control.pop()
        self._block(node.orelse, state)

    def _bind(self, node: ast.stmt, pairs: syntax.Pairs, state: _State) -> None:
        """Assign each value, or a part of it, to its variable."""
        values = {value: self._read(value, state) for _, value, _ in pairs}
        seconds = {value: self._second(value, state) for value in values}
        for target, value, is_whole in pairs:
            reads = values[value] if is_whole else _unsure(values[value])
            path = self._path(target)
            if path and isinstance(target, ast.Name):
                blank = is_whole and not self._loops and syntax.is_blank(value)
                self._assign(node, path, reads, state, blank)
            elif path:
                part = not syntax.is_exact(target)
                kept = self._kept(node, path, target, state) if part else _NOTHING
                self._change(node, path, reads | kept, state)
            self._link(path, seconds[value] if path else set())

    def _return(self, node: Any, value: ast.expr, state: _State) -> None:
        result = self._stack[-1][1]
        if not result:
            self._return_gradients(node, value, state)
            return
        for part in value.elts if isinstance(value, ast.Tuple) else [value]:
            several = part is not value or result == _KEPT
            path = (result, syntax.name_of(part)) if several else (result,)
            number = self._number(node, path, plain=isinstance(part, _Part))
            self.assignments[number].reads |= self._read(part, state).union(*self._control)
            state[path] = state.get(path, _NOTHING) | {number}
            self._link(path, self._second(part, state))

    def _return_gradients(self, node: Any, value: ast.expr, state: _State) -> None:
        if isinstance(value, ast.Call) and self._function(value.func):
            self._call(value, state, "")  # it returns them
            if value in self._copies:
                return
        found = syntax.returned(value, self._form, self._values, state)
        ahead = self.before(self._read(value, state)) if not found else set()
        if any(self.assignments[n].unknown for n in ahead):
            found = [(name, value, []) for name in self._form.gradients]
        for name, part, ways in found:
            self._at = part if hasattr(part, "lineno") else node  # one line of several
            number = self._number(part, ("return", name))
            its = self.assignments[number]
            reads = self._read(part, state)
            its.reads |= (reads if part is not value else _unsure(reads)).union(*self._control)
            for of, display in ways:  # what changed the mapping after it was made
                later = _known((of,), state)
                its.reads |= {n for n in later if self.assignments[max(n, ~n)].node is not display}
            is_its = syntax.is_gradient(part, name)
            its.plain = isinstance(part, _Part) and is_its
            its.misnamed = isinstance(part, _Part) and not is_its
            self.gradients[name] = self.gradients.get(name, _NOTHING) | {number}

    def _path(self, node: ast.AST) -> _Path:
        """The variable that an expression is, or is a part of."""
        match node:
            case ast.Name(id=name):
                return (name,)
            case ast.Attribute(value=of, attr="T") if not self._has_T:
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
            case ast.Lambda():
                return frozenset({self._unknown(node, ast.unparse(node))})
            case ast.NamedExpr() | ast.Yield() | ast.YieldFrom() | ast.Await():
                self._strange.add(self._unknown(node, ast.unparse(node)))
                return _NOTHING
        path = self._path(node)
        if not path:
            inner = [self._read(child, state) for child in ast.iter_child_nodes(node)]
            return _NOTHING.union(*inner)
        if _ONLY_SHAPE.intersection(path[1:]):
            return _NOTHING
        indices = [n.slice for n in ast.walk(node) if isinstance(n, ast.Subscript)]
        reads = _known(path, state) or self._outside(node, path)
        reads = _unsure(reads) if any(map(syntax.is_of_a_part, indices)) else reads
        return reads.union(*(self._read(index, state) for index in indices))

    def _outside(self, node: ast.AST, path: _Path) -> _Reads:
        """What a name that no assignment has bound stands for: nothing, or something unknown."""
        name, names = path[0], self._names
        not_yet = syntax.MARK in name and name not in names.functions and len(path) < 2
        if not_yet or (name in names.libraries | _BUILTINS and name not in names.bound):
            return _NOTHING
        return frozenset({self._unknown(node, ast.unparse(node))})

    def _comprehension(self, node: Any, state: _State) -> _Reads:
        reads, outer = _NOTHING, dict(state)
        self._loops += 1
        targets = set()
        for loop in node.generators:
            for target, value, is_whole in syntax.pairs(loop.target, syntax.each_of(loop.iter)):
                its, path = self._read(value, state), self._path(target)
                state[path] = its if is_whole else _unsure(its)
                self._link(path, self._second(value, state))
                targets.add(path)
            reads = reads.union(*(self._read(test, state) for test in loop.ifs))
            reads |= _unsure(self._read(loop.iter, state))
        each = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        reads = reads.union(*(self._read(part, state) for part in each))
        self._loops -= 1
        for path in targets:  # they are not the variables of that name around it
            del state[path]
            state |= {path: outer[path]} if path in outer else {}
        return reads

    def _function(self, function: ast.expr) -> Function | None:
        """The function of this file that is called."""
        found = self._names.functions.get(syntax.identifier(function))
        return None if getattr(found, "decorator_list", []) else found

    def _call(self, call: ast.Call, state: _State, result: str | None = None) -> _Reads:
        """What a call reads; `result`: the variable of what it returns, if it is followed."""
        function = call.func
        if found := self._function(function):
            its = syntax.arguments(call, found)
            stack = [each for each, _ in self._stack]
            if its is not None and found not in stack and len(stack) <= _DEEPEST:
                return self._follow(call, found, its, state, result)
        given = [*call.args, *(k.value for k in call.keywords)]
        name, root = syntax.name_called(function), syntax.identifier(syntax.root_of(function))
        in_library = root in self._names.libraries
        if isinstance(function, ast.Attribute) and not in_library:
            is_known = name in self._methods
            given.append(function.value)
        else:
            is_known = in_library or (name in _BUILTINS and name not in self._names.bound)
        if is_known and name in _ONLY_SHAPE:
            return _NOTHING
        reads = _NOTHING.union(*(self._read(part, state) for part in given))
        if is_known:
            return _unsure(reads) if name in _SUMS else reads
        reads |= {self._unknown(call, ast.unparse(function))}
        changed = {p for part in given for p in self._second(part, state)}
        self._weaken(call, changed | (self._globals & set(state)), reads, state)
        return reads

    def _follow(
        self,
        call: ast.Call,
        function: Function,
        given: dict[str, ast.expr],
        state: _State,
        result: str | None,
    ) -> _Reads:
        """What the copy of a function returns, read with these arguments."""
        passed = [(n, v, self._read(v, state), self._second(v, state)) for n, v in given.items()]
        copy, mark = self._copied(function, call, set())
        for name, value, reads, second in passed:
            self._assign(value, (name + mark,), reads, state)
            self._link((name + mark,), second)
        path = ("return" + mark,)
        for old in [p for p in state if p[:1] == path]:
            del state[old]
        self._stack.append((function, path[0] if result is None else result))
        at = self._at
        if isinstance(copy, ast.Lambda):
            self._at = copy
            self._return(copy, copy.body, state)
        else:
            self._block(copy.body, state)
        self._at = at
        self._stack.pop()
        return _known(path, state)


def _known(path: _Path, state: _State) -> _Reads:
    """The assignments of a variable, of what it is a part of, and of its parts."""
    related = [p for p in state if all(a == b for a, b in zip(p, path, strict=False))]
    return _NOTHING.union(*(state[p] if p == path else _unsure(state[p]) for p in related))


def _unsure(reads: _Reads) -> _Reads:
    """The same where perhaps only a part is read."""
    return frozenset(min(number, ~number) for number in reads)


def _merge(state: _State, other: _State) -> None:
    for path, numbers in other.items():
        state[path] = state.get(path, frozenset()) | numbers
