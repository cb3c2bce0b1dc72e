"""Every one-token change of a hand-written backward pass that makes it wrong, in a fixed order.

    for mutant in one_token("lstm"):   # description, line, function

The passes are those of tests/passes/textbook.py. A change is kept if the pass still runs on every
designed problem and its gradient is off by more than rounding allows on one of them.
"""

import ast
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from rnn_torch.networks import designed, stock
from tests.passes import textbook
from tests.passes.stock_problems import answer, posed, used

Backward = Callable[..., dict[str, Any]]
#: The names that may stand for each other at a line: those of the same shape that are bound there.
Scope = Callable[[str, int], list[str]]

_OPERATORS: dict[type[ast.operator], list[type[ast.operator]]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Add, ast.Div],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
}
_CALLS = {
    "np.tanh": ["sigmoid", "np.sin", ""],
    "sigmoid": ["np.tanh", ""],
    "np.zeros_like": ["np.ones_like"],
    "reversed": [""],
}
_METHODS = {"sum": ["mean", "max"], "max": ["min", "sum"], "copy": [""]}


class OneToken(NamedTuple):
    """A wrong pass: what was changed, in which line of textbook.py, the pass, and its source."""

    description: str
    line: int
    function: Backward
    text: str


def one_token(name: str) -> Iterator[OneToken]:
    """The wrong passes of one stock network: tanh, gru or lstm."""
    return (each for each in every_change(name) if runs_and_is_wrong(name, each.function))


def every_change(name: str) -> Iterator[OneToken]:
    """The same before it is known whether they run, and whether anything changes."""
    right: Backward = getattr(textbook, name)
    lines, first = inspect.getsourcelines(right)
    tree = ast.increment_lineno(ast.parse("".join(lines)), first - 1)
    scope, seen = _scope(right, name), {ast.unparse(tree)}
    slices = {ast.unparse(n): n for n in ast.walk(tree) if isinstance(n, ast.Slice)}
    function: Any = tree.body[0]
    for node, put in [*_places(function)]:
        for other in _others(node, scope, slices):
            put(ast.copy_location(other, node))
            text = ast.unparse(tree)
            put(node)
            if text not in seen:
                seen.add(text)
                space: dict[str, Any] = dict(vars(textbook))
                exec(text, space)
                description = f"{ast.unparse(node)} -> {ast.unparse(other)}"
                yield OneToken(description, node.lineno, space[name], text)


def _others(node: Any, scope: Scope, slices: dict[str, ast.Slice]) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.BinOp(left, op, right):
            for kind in _OPERATORS.get(type(op), []):
                yield ast.BinOp(left, kind(), right)
            if isinstance(op, ast.MatMult):
                if isinstance(left, ast.Name | ast.Subscript):
                    yield ast.BinOp(ast.Attribute(left, "T", ast.Load()), op, right)
                if isinstance(right, ast.Name | ast.Subscript):
                    yield ast.BinOp(left, op, ast.Attribute(right, "T", ast.Load()))
            if isinstance(op, ast.Mult | ast.MatMult) and not isinstance(left, ast.Constant):
                yield ast.BinOp(ast.UnaryOp(ast.USub(), left), op, right)
        case ast.AugAssign(target, op, value):
            for kind in _OPERATORS.get(type(op), []):
                yield ast.AugAssign(target, kind(), value)
            yield ast.Assign([target], value)
        case ast.Assign(targets, ast.Call() as value):
            yield ast.Assign(targets, ast.UnaryOp(ast.USub(), value))
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield from (ast.Constant(k) for k in (0, 1, 2) if k != value)
        case ast.Name(name, context):
            yield from (ast.Name(k, context) for k in scope(name, node.lineno))
        case ast.Attribute(value, "T"):
            yield value
        case ast.UnaryOp(ast.USub(), operand):
            yield operand
        case ast.Subscript(value, ast.Name() as index, context):
            for kind in (ast.Sub, ast.Add):
                yield ast.Subscript(value, ast.BinOp(index, kind(), ast.Constant(1)), context)
        case ast.Slice():
            others = [k for text, k in slices.items() if text != ast.unparse(node)]
            yield from (ast.Slice(k.lower, k.upper) for k in others)
        case ast.Call(ast.Attribute(value, method), arguments, keywords) if method in _METHODS:
            for k in _METHODS[method]:
                yield ast.Call(ast.Attribute(value, k), arguments, keywords) if k else value
        case ast.Call(function, arguments, keywords):
            for k in _CALLS.get(ast.unparse(function), []):
                called = ast.parse(k, mode="eval").body if k else None
                yield ast.Call(called, arguments, keywords) if called else arguments[0]


def _places(parent: ast.AST) -> Iterator[tuple[Any, Callable[[ast.AST], None]]]:
    """Every node below, in the order of the text, with what puts another one in its place."""
    for field, value in ast.iter_fields(parent):
        if isinstance(value, ast.AST):
            yield value, partial(setattr, parent, field)
            yield from _places(value)
        elif isinstance(value, list):
            for index, one in enumerate(value):
                if isinstance(one, ast.AST):
                    yield one, partial(value.__setitem__, index)
                    yield from _places(one)


def _scope(right: Backward, name: str) -> Scope:
    """Run it on the general problem, where no two axes have the same size, and watch its names."""
    bound: dict[int, set[str]] = {}
    shapes: dict[str, Any] = {}

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code is not right.__code__:
            return None
        bound.setdefault(frame.f_lineno, set()).update(frame.f_locals)
        shapes.update({k: _shape(v) for k, v in frame.f_locals.items()})
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        answer(right, designed(stock(name))[0])
    finally:
        sys.settrace(before)

    def alike(one: str, line: int) -> list[str]:
        here = bound[max(k for k in bound if k <= line)] if line >= min(bound) else set()
        return sorted(k for k in here if shapes[k] == shapes.get(one) and k != one)

    return alike


def _shape(value: Any) -> Any:
    """What must be the same for a name to stand for another one: a number, or a shape."""
    if isinstance(value, dict) or np.asarray(value).dtype.hasobject:
        return "one for each step", np.shape(value[0]) if len(value) else ()
    return type(value).__name__, np.shape(value)


def runs_and_is_wrong(name: str, backward: Backward) -> bool:
    """Whether it runs on every designed problem and is off by more than rounding on one."""
    wrong = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for problem, right in posed(name):
            try:
                wrong |= used(answer(backward, problem), right) > 1
            except Exception:  # whatever a pass may raise that is not one any more
                return False
    return wrong
