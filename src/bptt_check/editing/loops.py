"""What may lack in a loop over the steps: an error that is handed over, a step that is another.

And a statement that stands beside the loop.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bptt_check.editing.program import Edit, Function
from bptt_check.editing.values import Values, atoms

Texts = set[tuple[int, int, str]]


@dataclass
class _Loop:
    """A loop of a function, and what depends on the errors: function, line and text of each."""

    loop: ast.For
    function: Function
    number: int  # the function's
    values: Values
    errors: Texts

    def edits(self) -> Iterator[Edit]:
        """What may be added to it."""
        simple, of = [node for node in self.loop.body if not hasattr(node, "body")], self.function
        for name, line in self._always_zero().items() if simple else ():
            _, end = of.span(simple[-1])
            for text in self._like(name, line):
                its = f"; {name} = {text}"
                yield Edit(of, simple[-1].lineno, end, end, its, rank=4, back=line)
        if (first := self._first()) is not None:
            for node in self._always_the_same():
                span = of.span(node)
                its = f"({ast.unparse(node)} if {first} else 0)"
                yield Edit(of, node.lineno, *span, its, span, rank=3, back=node.lineno)

    def _always_zero(self) -> dict[str, int]:
        """What is read and never set in the loop, and is 0 there; the line that reads it first."""
        found, is_set = dict[str, int](), set[str]()
        for node in (each for part in self.loop.body for each in atoms(part)):
            text = ast.unparse(node)
            if not isinstance(node.ctx, ast.Load):
                is_set.add(text)
            elif self.values.is_zero(self.number, node.lineno, text):
                found[text] = min(node.lineno, found.get(text, node.lineno))
        return {text: line for text, line in found.items() if text not in is_set}

    def _like(self, name: str, line: int) -> list[str]:
        """What has the shape of a name and depends on the errors, in this loop."""
        shape = self.values.shapes[self.number, line][name]
        lines = range(self.loop.lineno + 1, (self.loop.end_lineno or 0) + 1)
        found = (
            text
            for other in lines
            for text, its in self.values.shapes.get((self.number, other), {}).items()
            if its == shape and text != name and (self.number, other, text) in self.errors
        )
        return [*dict.fromkeys(found)]

    def _always_the_same(self) -> Iterator[ast.expr]:
        """The terms of sums that depend on the errors and are the same at each step."""
        sums = (n for part in self.loop.body for n in ast.walk(part) if isinstance(n, ast.BinOp))
        for each in sums:
            for node in (each.left, each.right) if isinstance(each.op, ast.Add) else ():
                key = self.number, node.lineno, ast.unparse(node)
                if key in self.errors and self.values.is_constant(*key):
                    yield node

    def _first(self) -> str | None:
        """What holds in the first step alone; None if that cannot be said."""
        match self.loop.target, self.loop.iter:
            case ast.Name(t), ast.Call(ast.Name("range"), [_]):
                return f"{t} == 0"
            case ast.Name(t), ast.Call(ast.Name("range"), [begin, *_]):
                return f"{t} == {ast.unparse(begin)}"
            case (
                ast.Name(t),
                ast.Call(ast.Name("reversed"), [ast.Call(ast.Name("range"), [*_, end])]),
            ):
                return f"{t} == {ast.unparse(end)} - 1"
        return None


def of_loops(function: Function, number: int, values: Values, errors: Texts) -> Iterator[Edit]:
    """What may be added to the loops of a function."""
    for node in ast.walk(function.tree()):
        if isinstance(node, ast.For):
            yield from _Loop(node, function, number, values, errors).edits()
        body = getattr(node, "body", [])
        for first, second in pairwise(body if isinstance(body, list) else []):
            if isinstance(second, ast.For) and isinstance(first, ast.Assign | ast.AugAssign):
                yield from _into_the_next(first, second, getattr(node, "target", None), function)
            if isinstance(first, ast.For) and isinstance(second, ast.Assign | ast.AugAssign):
                yield from _into_the_last(first, second, function)


def _into_the_next(
    its: ast.Assign | ast.AugAssign, loop: ast.For, outer: ast.expr | None, function: Function
) -> Iterator[Edit]:
    """The statement before a loop, put into it: at its step, if that runs in another loop."""
    inner, target = loop.body[0], ast.unparse(getattr(its, "target", its))
    if isinstance(its, ast.Assign):
        target = ast.unparse(its.targets[0])
    if hasattr(inner, "body"):
        return
    if isinstance(outer, ast.Name) and isinstance(loop.target, ast.Name):
        target = re.sub(rf"\b{outer.id}\b", loop.target.id, target)
    (start, end), (_, last) = function.span(its), function.span(inner)
    between = function.text[end:last].decode()
    for sign in ("+=", "="):
        text = f"pass{between}; {target} {sign} {ast.unparse(its.value)}"
        yield Edit(function, its.lineno, start, last, text, rank=4)


def _into_the_last(
    loop: ast.For, its: ast.Assign | ast.AugAssign, function: Function
) -> Iterator[Edit]:
    """The statement behind a loop, put into it."""
    inner = loop.body[-1]
    if not hasattr(inner, "body"):
        (_, end), (start, last) = function.span(inner), function.span(its)
        between = function.text[end:start].decode()
        text = f"; {function.text[start:last].decode()}{between}pass"
        yield Edit(function, inner.lineno, end, last, text, rank=4)
