"""Choose edits by what single lines compute: a quantity of the network's reverse pass, or nothing.

Final gradients are right once all mistakes on the way to them are mended. A line that computes the
gradient of a state, or a term of one, is seen to be right as soon as what it reads is: so mistakes
are found one after the other, in the order in which lines run.
"""

import ast
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, product
from types import CodeType
from typing import Any

import numpy as np

from bptt_check.process.program import Edit, Function, Program

_NEAR = 1e-9
_VISITS = 12  # of each line that are looked at
_MOST_SECONDS = 8.0  # of this process
#: The ranks up to which edits are tried, and taken for one quantity, which may be an accident.
_LEVELS = ((3, 1), (3, 2), (9, 2))
_OPTIONS, _MOST_COMBINED = 3, 400  # edits of a line, and choices of edits for all lines


class Quantities:
    """Arrays that are known by their entries, in whatever order these lie."""

    def __init__(self, arrays: Iterable[Any]) -> None:
        rows: dict[int, list[tuple[float, int, Any]]] = {}
        for number, array in enumerate(arrays):
            entries = np.sort(np.ravel(array))
            rows.setdefault(entries.size, []).append((_size(entries), number, entries))
        self._of_size: dict[int, tuple[Any, ...]] = {}
        for size, its in rows.items():
            its.sort(key=lambda row: row[0])
            sizes, numbers, all_entries = zip(*its, strict=True)
            self._of_size[size] = np.array(sizes), numbers, all_entries

    def same(self, value: Any) -> int | None:
        """The number of the first array with these entries; None if there is none."""
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return None
        sizes, numbers, entries = self._of_size.get(value.size, ((), (), ()))
        own = np.sort(value, axis=None)
        its = _size(own)
        if not len(sizes) or not np.isfinite(its):
            return None
        first, last = np.searchsorted(sizes, [its * (1 - _NEAR), its * (1 + _NEAR)])
        found = (
            numbers[i] for i in range(first, last) if (abs(entries[i] - own) <= _NEAR * its).all()
        )
        return min(found, default=None)


def _size(entries: Any) -> float:
    return float(np.sqrt(np.square(entries).sum()))


class Sights:
    """Which quantities the statements of a program compute, in one run."""

    def __init__(self, functions: Sequence[Function], quantities: Quantities) -> None:
        self._quantities = quantities
        self._targets: dict[tuple[str, int], list[CodeType]] = {}
        self._unread: set[tuple[str, int]] = set()  # lines that assign what no line reads
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
                if texts := [*_assigned(node)]:
                    unread = any(text.isidentifier() and text not in read for text in texts)
                    self._unread |= {(function.file, node.lineno)} if unread else set()
                    codes = [compile(text, "<value>", "eval") for text in texts]
                    self._targets[function.file, node.lineno] = codes

    def of(self, run: Callable[[], object]) -> tuple[set[int], dict[tuple[str, int], list[bool]]]:
        """The numbers of the quantities; for each line whether it computed one, at each visit."""
        self._found: set[int] = set()
        self._visits: dict[tuple[str, int], list[bool]] = {}
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            with suppress(Exception):
                run()
        finally:
            sys.settrace(before)
        return self._found, self._visits

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
                self._note((file, last), _values(codes, frame))
            if event == "return" and (file, frame.f_lineno) in self._returns:
                parts = returned.values() if isinstance(returned, dict) else returned
                is_one = not isinstance(parts, Iterable) or hasattr(parts, "dtype")
                self._note((file, frame.f_lineno), [parts] if is_one else parts)
            last = frame.f_lineno
            return line

        return line

    def _note(self, key: tuple[str, int], values: Iterable[Any]) -> None:
        visits = self._visits.setdefault(key, [])
        if len(visits) < _VISITS:
            seen = [self._quantities.same(value) for value in values]
            visits.append(bool(seen) and None not in seen and key not in self._unread)
            self._add(seen)

    def _add(self, seen: Iterable[int | None]) -> None:
        self._found.update(number for number in seen if number is not None)


def _values(codes: Sequence[CodeType], frame: Any) -> Iterator[Any]:
    for code in codes:
        with suppress(Exception):
            yield eval(code, frame.f_globals, frame.f_locals)


def _assigned(node: ast.AST) -> Iterator[str]:
    """What a statement gives a value to, as expressions."""
    match node:
        case ast.Assign(targets):
            for target in targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from (ast.unparse(p) for p in parts if not isinstance(p, ast.Starred))
        case ast.AugAssign(target) | ast.AnnAssign(target):
            yield ast.unparse(target)
        case ast.Expr(ast.Call(ast.Attribute(base, "append"))):
            yield f"{ast.unparse(base)}[-1]"


class Chooser:
    """The choice of edits with which more lines compute a quantity.

    Args:
        edits: those that may be chosen, with their numbers.
        arrays: the quantities.
    """

    def __init__(
        self,
        program: Program,
        run: Callable[[], object],
        edits: Mapping[int, Edit],
        arrays: Iterable[Any],
    ) -> None:
        self._program, self._run, self._edits = program, run, edits
        functions = [f for f in program.functions if any(e.function is f for e in edits.values())]
        self._sights = Sights(functions, Quantities(arrays))
        self._end = time.process_time() + _MOST_SECONDS
        self.chosen: tuple[int, ...] = ()
        self._found, self._visits = self._seen(())
        self._known: dict[Any, list[tuple[int, int]]] = {}  # options, for what is chosen
        self._at: dict[tuple[str, int], list[int]] = {key: [] for key in self._visits}
        for number, edit in sorted(edits.items(), key=lambda item: item[1].rank):
            self._at.setdefault((edit.function.file, edit.back), []).append(number)

    def choose(self) -> tuple[int, ...]:
        """The numbers of the edits."""
        for rank, likely in _LEVELS:
            before = None
            while self.chosen != before:
                before, unsure = self.chosen, []
                for key in self._at:
                    options = self._options(key, rank)
                    if (sure := self._sure(options, likely)) is not None:
                        self._take((*self.chosen, sure))
                    elif options:
                        unsure.append([number for _, number in options[:_OPTIONS]])
                if self.chosen == before and likely > 1:
                    self._combine(unsure)
        return self.chosen

    def _sure(self, options: Sequence[tuple[int, int]], rank: int) -> int | None:
        """The option that gives several quantities, or the only one up to this rank."""
        likely = [number for _, number in options if self._edits[number].rank <= rank]
        if options and options[0][0] > 1:
            return options[0][1]
        return likely[0] if len(likely) == 1 else None

    def _combine(self, options: Sequence[Sequence[int]]) -> None:
        """Choose edits that give little alone: those of several lines that give most together."""
        best, most = self.chosen, (len(self._found), 0)
        for its in islice(product(*([None, *its] for its in options)), _MOST_COMBINED):
            more = [n for n in its if n is not None]
            now, _ = self._seen((*self.chosen, *more))
            gain = len(now) - 2 * len(self._found - now), -sum(self._edits[n].rank for n in more)
            if gain > most:
                best, most = (*self.chosen, *more), gain
        self._take(best)

    def _options(self, key: tuple[str, int], rank: int) -> list[tuple[int, int]]:
        """What edits of a line give, and their numbers: those that give most first."""
        if all(self._visits.get(key, [True])):
            return []
        if (known := (self.chosen, key, rank)) in self._known:
            return self._known[known]
        gains: dict[frozenset[int], tuple[int, int]] = {}  # of those that do the same the likeliest
        for number in self._at[key]:
            its = self._edits[number]
            if its.rank > rank or any(_overlap(its, self._edits[n]) for n in self.chosen):
                continue
            now, _ = self._seen((*self.chosen, number))
            gain = len(now - self._found) - 2 * len(self._found - now)
            if gain > 0:
                gains.setdefault(frozenset(now), (gain, number))
        self._known[known] = sorted(gains.values(), key=lambda its: -its[0])
        return self._known[known]

    def _take(self, numbers: tuple[int, ...]) -> None:
        self.chosen = numbers
        self._found, self._visits = self._seen(numbers)

    def _seen(
        self, numbers: Sequence[int]
    ) -> tuple[set[int], Mapping[tuple[str, int], list[bool]]]:
        if time.process_time() > self._end:
            return set(), {}
        with self._program.with_edits([self._edits[n] for n in numbers]) as valid:
            return self._sights.of(self._run) if valid else (set(), {})


def _overlap(one: Edit, other: Edit) -> bool:
    return one.function is other.function and one.start < other.end and other.start < one.end
