"""The lines of a backward pass that lead to its wrong gradients, and not to its right ones.

They narrow the search; which of them is wrong, they do not say.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rnn_numpy.isolation.calling import Form, Refused
from rnn_numpy.isolation.escaping import shown
from rnn_numpy.isolation.loading import parsed, place
from rnn_torch.checker.data_flow import DataFlow

_MOST = 20  # lines; more narrow nothing
_LONGEST = 200  # characters of a line
_LARGEST = 500  # statements of a function that is read
_LARGEST_FILE = 1 << 20  # octets


class Source(NamedTuple):
    """The lines of a text, a function in it, and the words for the place of one of its lines."""

    lines: Sequence[str]
    function: ast.FunctionDef
    place: Callable[[int], str] = "line {}".format


class OwnLines(NamedTuple):
    """Lines of the candidate with their places; `words`: which ones.

    A place is `line 12`, or `cell 3, line 7` of a notebook.
    """

    words: str
    lines: tuple[tuple[str, str], ...]

    @property
    def places(self) -> str:
        """All places: `line 3, 5; cell 2, line 1, 4`, without a `line` in front of the first."""
        groups: dict[str, list[str]] = {}
        for where, _ in self.lines:
            before, _, number = where.rpartition("line ")
            groups.setdefault(before, []).append(number)
        return "; ".join(f"{k}{'line ' * bool(k)}{', '.join(n)}" for k, n in groups.items())


def source_in_file(target: str) -> Source | None:
    """The function of `FILE.py:FUNCTION`, of two functions the last; None if it is not found."""
    file, _, names = target.rpartition(":")
    *owners, name = names.rpartition(",")[2].split(".")
    try:
        if not Path(file).is_file() or Path(file).stat().st_size > _LARGEST_FILE:
            return None  # such as a pipe that nobody writes to
        text, tree = parsed(file)
    except (Refused, OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    body: Sequence[ast.AST] = tree.body
    for owner in owners:
        classes = [n for n in body if isinstance(n, ast.ClassDef) and n.name == owner]
        body = [node for each in classes for node in each.body]
    for node in reversed(body):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return Source(text.splitlines(), node, partial(place, file))
    return None


def source_of(function: Callable[..., Any]) -> Source | None:
    """The source of a function of this process; None if it has none."""
    try:
        lines, first = inspect.getsourcelines(inspect.unwrap(function))
        text = textwrap.dedent("".join(lines))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    ast.increment_lineno(node, first - 1)
    lines = [""] * (first - 1) + text.splitlines()
    return Source(lines, node) if isinstance(node, ast.FunctionDef) else None


def own_lines(
    source: Source, form: Form, wrong: Sequence[str], right: Sequence[str]
) -> OwnLines | None:
    """The lines that lead from the inputs to all wrong gradients, or to each of them.

    None if there are none, if they are many, or if the source is not understood.

    Args:
        source: the backward pass.
        form: what it is called with, and what it returns.
        wrong, right: the inputs whose gradients are wrong, and those whose gradients are right.
    """
    if sum(isinstance(node, ast.stmt) for node in ast.walk(source.function)) > _LARGEST:
        return None
    try:
        flow = DataFlow(source.function, form)
    except RecursionError:
        return None
    if not set(wrong) <= set(flow.gradients):
        return None
    ways = {name: _way(flow, name) for name in flow.gradients}
    if any(all(flow.assignments[d].plain for d in ways[name]) for name in wrong):
        return None  # nothing seems to write it: perhaps it has a second name
    # Who uses one part of a shared value does not show that its other parts are right.
    cleared = {d for n in right for d in ways.get(n, ()) if not flow.assignments[d].shared}
    parts = [{flow.assignments[d].node for d in ways[name] - cleared} for name in wrong]
    plain = {a.node for a in flow.assignments if a.plain}
    dull = {source.function, *plain}  # the parameters, and the return of variables as they are
    together = set.intersection(*parts) - dull
    nodes = together or set.union(*parts) - dull or set.union(*parts) & plain
    places = sorted({(node.lineno, _end(node)) for node in nodes})
    if not 0 < len(places) <= _MOST:
        return None
    but = f", not to {_joined(right, 'or')}" if right else ""
    words = f"lines that lead to {_joined(wrong, 'and' if together else 'or')}{but}"
    return OwnLines(words, tuple((source.place(p[0]), _text(source, *p)) for p in places))


def _way(flow: DataFlow, name: str) -> set[int]:
    """The assignments between the inputs and a gradient, without constants and buffers of zeros."""
    given = {number for numbers in flow.inputs.values() for number in numbers}
    return {
        number
        for number in flow.before(flow.gradients[name])
        if flow.assignments[number].plain or flow.before([number]) & given
    }


def _end(node: ast.stmt) -> int:
    """The last line of a statement; of one with a body, its first line."""
    return node.lineno if hasattr(node, "body") else node.end_lineno or node.lineno


def _text(source: Source, first: int, last: int) -> str:
    text = " ".join(line.strip() for line in source.lines[first - 1 : last])
    return shown(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ...")


def _joined(names: Sequence[str], word: str) -> str:
    *most, last = [f"d{name}" for name in names]
    return f"{', '.join(most)} {word} {last}" if most else last
