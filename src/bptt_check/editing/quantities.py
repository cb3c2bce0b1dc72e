"""What a right reverse pass computes, and where a program computes it."""

import ast
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from itertools import permutations
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from bptt_check.editing.program import VISITS, Function, traced

_NEAR = 1e-9


class Quantities:
    """Arrays that are known by their entries, in whatever order their axes are, or their steps.

    Args:
        quantities: each with its arrays.
    """

    def __init__(self, quantities: Iterable[Iterable[Any]]) -> None:
        of_arrays = [(n, np.asarray(array)) for n, its in enumerate(quantities) for array in its]
        self._arrays, self._of = [a for _, a in of_arrays], [n for n, _ in of_arrays]
        self._rows: dict[int, set[int]] = {}
        self._known: dict[Any, int | None] = {}  # the same terms are seen with many edits
        rows: dict[int, list[tuple[float, int, Any]]] = {}
        for number, array in enumerate(self._arrays):
            entries = np.sort(np.ravel(array))
            rows.setdefault(entries.size, []).append((_size(entries), number, entries))
        self._of_size: dict[int, tuple[Any, ...]] = {}
        for size, its in rows.items():
            its.sort(key=lambda row: row[0])
            sizes, numbers, all_entries = zip(*its, strict=True)
            self._of_size[size] = sizes, numbers, all_entries

    def same(self, value: Any) -> int | None:
        """The number of the first array with these entries; None if there is none."""
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return None
        if value.size not in self._of_size:
            return None
        key = value.shape, value.tobytes()
        if key not in self._known:
            self._known[key] = self._sought(value)
        return self._known[key]

    def _sought(self, value: Any) -> int | None:
        sizes, numbers, entries = self._of_size[value.size]
        its = _size(value)
        first = bisect_left(sizes, its * (1 - _NEAR))
        last = bisect_right(sizes, its * (1 + _NEAR)) if math.isfinite(its) else first
        if first >= last:
            return None
        own = np.sort(value, axis=None)
        near = _NEAR * its
        found = (
            numbers[i]
            for i in range(first, last)
            if (abs(entries[i] - own) <= near).all() and self._in_order(numbers[i], value, near)
        )
        return min(found, default=None)

    def _in_order(self, number: int, value: Any, near: float) -> bool:
        """Whether it has the array's entries in their order: a gate stands in its own place."""
        array, entries = np.squeeze(self._arrays[number]), value.ravel()
        return any(
            (abs(each.transpose(axes).ravel() - entries) <= near).all()
            for each in (array, array[::-1] if array.ndim else array)
            for axes in permutations(range(array.ndim))
        )

    def count(self, numbers: Iterable[int]) -> int:
        """How many quantities the arrays with these numbers are."""
        return len({self._of[number] for number in numbers})

    def with_rows(self, number: int) -> set[int]:
        """The array with this number, and those that are its parts along its first axis."""
        if number not in self._rows:
            array = self._arrays[number]
            rows = map(self.same, array if array.ndim > 1 else ())
            self._rows[number] = {number, *(row for row in rows if row is not None)}
        return self._rows[number]


def _size(array: Any) -> float:
    entries = array.ravel()
    return math.sqrt(entries @ entries)


class Seen(NamedTuple):
    """What is seen in a run.

    The numbers of the quantities that are computed; for each line whether it computes one, at each
    visit; whether all that the run returns are quantities.
    """

    found: set[int]
    visits: Mapping[tuple[str, int], list[bool]]
    is_right: bool


class Sights:
    """Which quantities the statements of a program compute, in one run."""

    def __init__(self, functions: Sequence[Function], quantities: Quantities) -> None:
        self._quantities = quantities
        self._targets: dict[tuple[str, int], list[list[CodeType]]] = {}
        #: Of each line the names that it assigns and no line reads.
        self.unread: dict[tuple[str, int], set[str]] = {}
        self._lines: dict[str, set[int]] = {}  # of these functions
        self._returns: set[tuple[str, int]] = set()
        for function in functions:
            names = [n for n in ast.walk(function.tree()) if isinstance(n, ast.Name)]
            read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
            its = range(function.first, function.first + function.text.count(b"\n") + 1)
            self._lines.setdefault(function.file, set()).update(its)
            node: Any
            for node in ast.walk(function.tree()):
                if isinstance(node, ast.Return):
                    self._returns.add((function.file, node.lineno))
                if targets := [*_assigned(node)]:
                    unread = {t[0] for t in targets if t[0].isidentifier() and t[0] not in read}
                    self.unread[function.file, node.lineno] = unread
                    codes = [[compile(t, "<value>", "eval") for t in texts] for texts in targets]
                    self._targets[function.file, node.lineno] = codes

    def of(self, run: Callable[[], Mapping[str, Any]], read: Set[str]) -> Seen:
        """What is seen in a run; `read`: the names that edits read."""
        self._read = read
        self._found: set[int] = set()
        self._visits: dict[tuple[str, int], list[bool]] = {}
        is_right = False
        with suppress(Exception), traced(self._call):
            is_right = all(self._quantities.same(a) is not None for a in run().values())
        return Seen(self._found, self._visits, is_right)

    def _call(self, frame: Any, event: str, _: object) -> Any:
        file, last = frame.f_code.co_filename, 0
        if frame.f_code.co_firstlineno not in self._lines.get(file, ()):
            return None
        for value in [*frame.f_locals.values()]:  # what it is called with
            self._add([self._quantities.same(value)])

        def line(frame: Any, event: str, returned: Any) -> Any:
            nonlocal last
            codes = self._targets.get((file, last))
            if codes is not None and event != "exception":
                self._note((file, last), [_values(its, frame) for its in codes])
            if event == "return" and (file, frame.f_lineno) in self._returns:
                parts = returned.values() if isinstance(returned, dict) else returned
                is_one = not isinstance(parts, Iterable) or hasattr(parts, "dtype")
                self._note(
                    (file, frame.f_lineno), [[its] for its in ([parts] if is_one else parts)]
                )
            last = frame.f_lineno
            return line

        return line

    def _note(self, key: tuple[str, int], values: Iterable[Iterable[Any]]) -> None:
        visits = self._visits.setdefault(key, [])
        if len(visits) < VISITS:
            seen = [self._first(its) for its in values]
            is_read = not self.unread.get(key, set()) - self._read
            visits.append(bool(seen) and None not in seen and is_read)
            self._add(seen)

    def _first(self, values: Iterable[Any]) -> int | None:
        numbers = map(self._quantities.same, values)
        return next((number for number in numbers if number is not None), None)

    def _add(self, seen: Iterable[int | None]) -> None:
        for number in {number for number in seen if number is not None}:
            self._found |= self._quantities.with_rows(number)


def _values(codes: Sequence[CodeType], frame: Any) -> Iterator[Any]:
    for code in codes:
        with suppress(Exception):
            yield eval(code, frame.f_globals, frame.f_locals)


def _assigned(node: ast.AST) -> Iterator[list[str]]:
    """What a statement gives a value to, as expressions: an entry, or all of its array."""
    match node:
        case ast.Assign(targets):
            for target in targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from (_entry(p) for p in parts if not isinstance(p, ast.Starred))
        case ast.AugAssign(target) | ast.AnnAssign(target):
            yield _entry(target)
        case ast.Expr(ast.Call(ast.Attribute(base, "append"))):
            yield [f"{ast.unparse(base)}[-1]"]


def _entry(target: ast.expr) -> list[str]:
    base = [ast.unparse(target.value)] if isinstance(target, ast.Subscript) else []
    return [ast.unparse(target), *base]
