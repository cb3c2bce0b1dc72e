"""What the variables of a program hold at each of its lines, in one run: shapes, no values."""

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType
from typing import Any

import numpy as np

from bptt_check.editing.program import Function, inner, traced

Shape = tuple[int, ...]
INTEGER = (-1,)  # in place of the shape of an integer
_LIST, _OBJECT = -2, -3  # the first number, in place of the shapes of these
_VISITS = 3  # of each line that are looked at
_ENTRIES = 50  # of a dictionary, at most; one with more is no cache


def atoms(tree: ast.AST) -> Iterator[Any]:
    """The names, attributes and subscripts in it, and their transposes."""
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        is_atom = isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
        if is_atom and id(node) not in called and not any(map(_acts, ast.walk(node))):
            yield node


def _acts(node: ast.AST) -> bool:
    """Whether to evaluate it may change something."""
    return isinstance(node, ast.Call | ast.NamedExpr | ast.Yield)


_PURE = (
    *(ast.BinOp, ast.UnaryOp, ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Call),
    *(ast.operator, ast.unaryop, ast.expr_context, ast.Slice, ast.Tuple),
)
_PRODUCTS = ("dot", "matmul", "outer")


def compounds(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions in it that only compute: sums and products."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.Call) and all(map(_is_pure, ast.walk(node))):
            yield node


def _is_pure(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in _PRODUCTS
    return isinstance(node, _PURE)


class Values:
    """What expressions are at a line, before it runs.

    `shapes[function, line][text]`; `digests`, of the arrays, tell two runs apart.
    """

    def __init__(self, functions: list[Function], run: Callable[[], object]) -> None:
        self.shapes: dict[tuple[int, int], dict[str, Shape]] = {}
        self.digests: dict[tuple[int, int], dict[str, list[int]]] = {}
        self._visits: dict[tuple[int, int], int] = {}
        self._read: dict[CodeType, tuple[int, dict[str, CodeType]]] = {}
        for number, function in enumerate(functions):
            tree = function.tree()
            texts = dict.fromkeys(ast.unparse(a) for a in (*atoms(tree), *compounds(tree)))
            texts |= dict.fromkeys(n.arg for n in ast.walk(tree) if isinstance(n, ast.arg))
            codes = {text: compile(text, "<shape>", "eval") for text in texts}
            for code in (function.code, *inner(function.code)):
                self._read[code] = number, codes
        # To read a frame's variables also changes its `locals()`: the run may fail.
        with suppress(Exception), traced(self._trace):
            run()

    def differ(self, other: "Values") -> set[tuple[int, int, str]]:
        """Function, line and text of what has other values in another run."""
        return {
            (*key, text)
            for key, its in self.digests.items()
            for text, digests in its.items()
            if digests != other.digests.get(key, {}).get(text)
        }

    def is_constant(self, function: int, line: int, text: str) -> bool:
        """Whether it is the same at each visit of the line, of several."""
        digests = self.digests.get((function, line), {}).get(text, [])
        return len(digests) > 1 and len(set(digests)) == 1

    def is_zero(self, function: int, line: int, text: str) -> bool:
        """Whether it is an array of zeros at each visit of the line, of several."""
        shape = self.shapes.get((function, line), {}).get(text)
        if not is_array(shape) or not self.is_constant(function, line, text):
            return False
        return self.digests[function, line][text][0] == hash(np.zeros(shape or 0).tobytes())

    def _trace(self, frame: Any, event: str, _: object) -> Any:
        if frame.f_code not in self._read:
            return None
        if event == "line":
            number, codes = self._read[frame.f_code]
            key = number, frame.f_lineno
            self._visits[key] = visits = self._visits.get(key, 0) + 1
            if visits <= _VISITS:
                sys.settrace(None)
                for text, code in codes.items():
                    with suppress(Exception):
                        self._note(key, text, eval(code, frame.f_globals, frame.f_locals))
                for name, value in [*frame.f_locals.items()]:
                    is_small = type(value) is dict and len(value) <= _ENTRIES
                    for entry in value if is_small else ():
                        self._note(key, f"{name}[{entry!r}]", value[entry])
                sys.settrace(self._trace)
        return self._trace

    def _note(self, key: tuple[int, int], text: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            digest = hash(value.tobytes()) if value.dtype.kind in "fi" else 0
            self.digests.setdefault(key, {}).setdefault(text, []).append(digest)
        if (shape := _shape(value)) is not None:
            self.shapes.setdefault(key, {}).setdefault(text, shape)


def is_array(shape: Shape | None) -> bool:
    """Whether it is the shape of an array."""
    return bool(shape) and min(shape or (0,)) >= 0


def _shape(value: object) -> Shape | None:
    if isinstance(value, np.ndarray):
        return value.shape if value.dtype.kind == "f" else None
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return INTEGER
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return _LIST, len(value), *value[0].shape
    if isinstance(value, float | np.floating):
        return ()
    is_plain = type(value).__module__ == "builtins" or callable(value)
    return None if is_plain or not hasattr(value, "__dict__") else (_OBJECT, id(type(value)))
