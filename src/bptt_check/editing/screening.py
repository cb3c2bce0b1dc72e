"""What a statement would compute with each of its edits, seen where it stands in one run."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from types import CodeType
from typing import Any

from bptt_check.editing.program import VISITS, Edit, Function, Program, apply_to, traced

_VISITS = 3  # of a statement that are looked at
Numbers = tuple[int, ...]
UNEDITED: Numbers = ()
_STACKS = {"hstack", "vstack", "column_stack", "concatenate", "stack"}
#: Calls that change something each time: with one of these a statement is not evaluated.
_CHANGING = {"pop", "popleft", "next", "send", "popitem", "append", "insert"}


class _Enough(Exception):
    """The statement was seen often enough."""


class Screen:
    """A program and its run."""

    def __init__(self, program: Program, run: Callable[[], object]) -> None:
        self._program, self._run = program, run
        self._own = {function.code.co_name for function in program.functions}
        self._codes: dict[tuple[Edit, ...], CodeType | None] = {}
        self._statements: dict[Function, list[ast.stmt]] = {}

    def values(
        self,
        chosen: Sequence[Edit],
        edits: Mapping[Numbers, Sequence[Edit]],
        visits: Sequence[bool],
    ) -> Iterator[tuple[Numbers, list[Any], list[Any]]]:
        """The numbers of edits of one line, and what the statement computes with these.

        Once for each visit of the line, of those that can be evaluated alone: what it assigns, and
        the terms, if that is a sum. `UNEDITED` is what it computes without.

        Args:
            chosen: the edits of the run.
            edits: those of the line, some of which may be made together.
            visits: which visits of the line need not be looked at.
        """
        first = next(its[0] for its in edits.values())
        function, line = first.function, first.back
        own = tuple(e for e in chosen if e.function is function and e.back == line)
        its = {UNEDITED: [replace(first, end=first.start, text="")], **edits}
        codes = {numbers: self._code((*own, *some)) for numbers, some in its.items()}
        known = [(numbers, code) for numbers, code in codes.items() if code is not None]
        seen: list[tuple[Numbers, list[Any], list[Any]]] = []
        wrong = [index for index, is_right in enumerate(visits) if not is_right]
        looked_at = sorted({0, *wrong[:_VISITS]})  # what the first one reads is right
        visit = -1

        def see(frame: Any) -> None:
            nonlocal visit
            if frame.f_lineno != line or frame.f_code.co_firstlineno != function.first:
                return
            visit += 1
            if visit > looked_at[-1]:
                raise _Enough
            names = {**frame.f_globals, **frame.f_locals}
            for numbers, code in known if visit in looked_at else ():
                with suppress(Exception):
                    value, terms = eval(code, names)
                    seen.append((numbers, _parts(value), terms))

        if known:
            self._at_lines(chosen, {function.file}, see)
        yield from seen

    def terms(self, chosen: Sequence[Edit]) -> list[tuple[int, list[Any]]]:
        """The numbers of the visits of all statements, and the terms of what each computes."""
        codes: dict[tuple[str, int], CodeType] = {}
        for function in self._program.functions:
            for node in self._simple(function):
                start, _ = function.span(node)
                own = (e for e in chosen if e.function is function and e.back == node.lineno)
                none = Edit(function, node.lineno, start, start, "", back=node.lineno)
                if code := self._code((*own, none)):
                    codes[function.file, node.lineno] = code
        visits, seen = dict.fromkeys(codes, 0), list[tuple[int, list[Any]]]()

        def see(frame: Any) -> None:
            key = frame.f_code.co_filename, frame.f_lineno
            if key in codes and visits[key] < VISITS:
                visits[key] += 1
                with suppress(Exception):
                    _, its = eval(codes[key], {**frame.f_globals, **frame.f_locals})
                    seen.append((visits[key], its))

        self._at_lines(chosen, {file for file, _ in codes}, see)
        return seen

    def _at_lines(
        self, chosen: Sequence[Edit], files: Set[str], see: Callable[[Any], None]
    ) -> None:
        """Show each frame of these files at each line, before it runs, in a run with edits."""

        def called(frame: Any, event: str, _: object) -> Any:
            return at_line if frame.f_code.co_filename in files else None

        def at_line(frame: Any, event: str, _: object) -> Any:
            if event == "line":
                see(frame)
            return at_line

        with self._program.with_edits(chosen) as valid, suppress(Exception), traced(called):
            self._run() if valid else None

    def is_elsewhere(self, edit: Edit, of_right: bool) -> bool:
        """Whether the edit shows elsewhere alone; `of_right`: the value is right without it."""
        value = getattr(self._statement(edit), "value", None)
        if edit.text.startswith(";") or value is None:
            return edit.text.startswith(";")
        is_call = isinstance(value, ast.Call) and _name(value.func) in self._own
        is_target = edit.end <= edit.function.span(value)[0]
        return (is_call and edit.rank <= 3) or (of_right and is_target)

    def _statement(self, edit: Edit) -> ast.stmt | None:
        for node in self._simple(edit.function):
            start, end = edit.function.span(node)
            if node.lineno == edit.back and start <= edit.start and edit.end <= end:
                return node
        return None

    def _simple(self, function: Function) -> list[ast.stmt]:
        """The statements of a function that hold no others."""
        if function not in self._statements:
            nodes = [n for n in ast.walk(function.tree()) if isinstance(n, ast.stmt)]
            self._statements[function] = [n for n in nodes if not hasattr(n, "body")]
        return self._statements[function]

    def _code(self, edits: tuple[Edit, ...]) -> CodeType | None:
        """What a statement computes, and its terms; None if it cannot be evaluated alone."""
        if edits not in self._codes:
            with suppress(SyntaxError, ValueError):
                self._codes[edits] = self._compiled(edits)
        return self._codes.setdefault(edits, None)

    def _compiled(self, edits: tuple[Edit, ...]) -> CodeType | None:
        if (statement := self._statement(edits[-1])) is None:
            return None
        function = edits[-1].function
        start, end = function.span(statement)
        its = [(e.start - start, e.end - start, e.text) for e in edits]
        node = ast.parse(apply_to(function.text[start:end], its)).body[0]
        value = _value(node)
        if isinstance(node, ast.Pass) and isinstance(statement, ast.AugAssign):
            value = ast.parse(ast.unparse(statement.target), mode="eval").body
        if isinstance(value, ast.Call) and _name(value.func) in self._own:
            given = [*value.args, *(keyword.value for keyword in value.keywords)]
            value = ast.copy_location(ast.Tuple(given, ast.Load()), value)
        if value is None:
            return None
        added = getattr(value, "right", value) if isinstance(node, ast.AugAssign) else value
        terms = [*_terms(added)] or [added] * isinstance(node, ast.AugAssign)
        as_list = ast.copy_location(ast.List(terms, ast.Load()), value)
        both = ast.copy_location(ast.Tuple([value, as_list], ast.Load()), value)
        return compile(ast.Expression(both), "<value>", "eval")


def _value(node: ast.stmt) -> ast.expr | None:
    """What a statement computes."""
    value: ast.expr | None = None
    match node:
        case ast.Assign(_, its) | ast.Return(its) | ast.AnnAssign(_, _, its):
            value = its
        case ast.AugAssign(target, op, its):
            before = ast.parse(ast.unparse(target), mode="eval").body
            value = ast.copy_location(ast.BinOp(before, op, its), its)
        case ast.Expr(ast.Call(ast.Attribute(_, "append" | "insert"), [*_, its])):
            value = its
    calls = (n.func for n in ast.walk(value or node) if isinstance(n, ast.Call))
    return None if _CHANGING & {*map(_name, calls)} else value


def _terms(value: ast.expr) -> Iterator[ast.expr]:
    """The terms of a sum, or of the sum that is a factor; what a stack is made of."""
    match value:
        case ast.Call(function, [ast.Tuple(parts) | ast.List(parts), *_]):
            yield from parts if _name(function) in _STACKS else ()
        case ast.BinOp(ast.BinOp(_, ast.Add() | ast.Sub()) as inner, ast.Mult()):
            yield from _terms(inner)
        case ast.BinOp(_, ast.Mult(), ast.BinOp(_, ast.Add() | ast.Sub()) as inner):
            yield from _terms(inner)
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            for each in (left, right):
                is_sum = isinstance(each, ast.BinOp) and isinstance(each.op, ast.Add | ast.Sub)
                is_negative = each is right and isinstance(op, ast.Sub)
                its = [*_terms(each)] if is_sum else [each]
                yield from (_negative(a) if is_negative else a for a in its)


def _negative(value: ast.expr) -> ast.expr:
    return ast.copy_location(ast.UnaryOp(ast.USub(), value), value)


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return [*value] if isinstance(value, list | tuple) else [value]
