"""Choose edits by what single lines compute: a quantity of the network's reverse pass, or nothing.

Final gradients are right once all mistakes on the way to them are mended. A line that computes the
gradient of a state, or a term of one, is seen to be right as soon as what it reads is: so mistakes
are found one after the other, in the order in which lines run.
"""

import ast
import math
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from difflib import SequenceMatcher
from itertools import combinations, islice, permutations, product
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from bptt_check.process.program import Edit, Function, Program, traced
from bptt_check.process.screening import UNEDITED, Screen

_NEAR = 1e-9
_VISITS = 12  # of each line that are looked at
_MOST_SECONDS = 8.0  # of this process
_LIKELY, _HIGHEST = 3, 9  # ranks


class Level(NamedTuple):
    """The ranks up to which edits are tried, and are taken for one quantity: maybe an accident.

    `itself`: only those that give the line itself one. `together`: also those of several lines.
    """

    rank: int
    likely: int
    itself: bool
    together: bool = False


_LEVELS = [Level(3, 1, True), Level(3, 2, True), Level(6, 2, True), Level(_HIGHEST, 2, True)]
_LEVELS += [Level(3, 2, True, True), Level(_HIGHEST, 2, True, True), Level(3, 1, False)]
_LEVELS += [Level(3, 2, False, True), Level(_HIGHEST, 2, False, True)]
_OPTIONS, _MOST_COMBINED = 3, 400  # edits of a line, and choices of edits for all lines
_MOST_TERMS = 5  # of a line, of which each sum is looked at


class Option(NamedTuple):
    """Edits of a line, and how many quantities they give; `always`: at each visit of the line."""

    gain: int
    numbers: tuple[int, ...]
    always: bool


class Quantities:
    """Arrays that are known by their entries, in whatever order their axes are, or their steps.

    Args:
        quantities: each with its arrays.
    """

    def __init__(self, quantities: Iterable[Iterable[Any]]) -> None:
        of_arrays = [(n, np.asarray(array)) for n, its in enumerate(quantities) for array in its]
        self._arrays, self._of = [a for _, a in of_arrays], [n for n, _ in of_arrays]
        self._rows: dict[int, set[int]] = {}
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
        sizes, numbers, entries = self._of_size.get(value.size, ((), (), ()))
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
        if len(visits) < _VISITS:
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


class Chooser:
    """The choice of edits with which more lines compute a quantity.

    Args:
        edits: those that may be chosen, with their numbers.
        quantities: each with its arrays.
    """

    def __init__(
        self,
        program: Program,
        run: Callable[[], Mapping[str, Any]],
        edits: Mapping[int, Edit],
        quantities: Iterable[Iterable[Any]],
    ) -> None:
        self._program, self._run, self._edits = program, run, edits
        functions = [f for f in program.functions if any(e.function is f for e in edits.values())]
        self._quantities = Quantities(quantities)
        self._sights, self._screen = Sights(functions, self._quantities), Screen(program, run)
        unread = {name for names in self._sights.unread.values() for name in names}
        #: Those that read what is computed and no line reads: they may change a line that is right.
        self._reading = {n for n, edit in edits.items() if unread & _names(edit)}
        self._end, self._runs = time.process_time() + _MOST_SECONDS, 0
        self.chosen: tuple[int, ...] = ()
        self._now = self._seen(())
        self._terms = self._all_terms()
        self._known: dict[Any, list[Option]] = {}  # options, for what is chosen
        self._at: dict[tuple[str, int], list[int]] = {key: [] for key in self._now.visits}
        for number, edit in sorted(edits.items(), key=lambda item: item[1].rank):
            self._at.setdefault((edit.function.file, edit.back), []).append(number)

    def choose(self) -> tuple[int, ...]:
        """The numbers of the edits."""
        reached = 0
        while reached < len(_LEVELS) and not self._now.is_right:
            level, before, unsure = _LEVELS[reached], self.chosen, list[list[Option]]()
            for keys in self._wrong_first() if level.rank <= _LIKELY else ([*self._at],):
                if self.chosen == before:
                    self._take_likely(keys, level, unsure)
            if self.chosen == before and level.together:
                self._combine(unsure)
            reached = reached + 1 if self.chosen == before else 0
        return self.chosen

    def _wrong_first(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """The lines that are wrong when first run, and those that are not.

        Of these only what they read may be wrong.
        """
        begins_right = {key: visits[0] for key, visits in self._now.visits.items() if visits}
        early = [key for key in self._at if not begins_right.get(key, False)]
        return early, [key for key in self._at if begins_right.get(key, False)]

    def _take_likely(
        self, keys: Sequence[tuple[str, int]], level: Level, unsure: list[list[Option]]
    ) -> None:
        """Take what is sure, line after line; at higher ranks only what gives most."""
        best: Option | None = None
        for key in keys:
            options = [] if self._now.is_right else self._options(key, level.rank, level.itself)
            sure = self._sure(options, level.likely)
            if sure is None:
                unsure += [options[:_OPTIONS]] if options else []
            elif level.rank <= _LIKELY:
                self._take((*self.chosen, *sure.numbers))
            elif best is None or options[0].gain > best.gain:
                best = sure._replace(gain=options[0].gain)
        if best is not None:
            self._take((*self.chosen, *best.numbers))

    def _sure(self, options: Sequence[Option], rank: int) -> Option | None:
        """The option that gives several quantities, or the only one up to this rank.

        Or the only one that gives the line one always.
        """
        likely = [
            option
            for option in options
            if all(self._edits[n].rank <= rank for n in option.numbers)
            or (option.always and rank > 1)
        ]
        if options and options[0].gain > 1:
            return options[0]
        return likely[0] if len(likely) == 1 else None

    def _combine(self, options: Sequence[Sequence[Option]]) -> None:
        """Choose edits that give little alone: those of several lines that give most together."""
        best, most, found = self.chosen, (len(self._now.found), 0), self._now.found
        for its in islice(product(*([None, *its] for its in options)), _MOST_COMBINED):
            more = [n for option in its if option is not None for n in option.numbers]
            now = self._seen((*self.chosen, *more)).found
            gain = len(now) - 2 * len(found - now), -sum(self._edits[n].rank for n in more)
            if gain > most:
                best, most = (*self.chosen, *more), gain
        self._take(best)

    def _options(self, key: tuple[str, int], rank: int, itself: bool) -> list[Option]:
        """What edits of a line give: those that give most first.

        Those with `itself` that give the line a quantity.
        """
        if key not in self._now.visits:
            return []
        its_edits, before = self._at[key], self._now.visits[key]
        if all(before):
            its_edits = [n for n in its_edits if n in self._reading]
        if (known := (self.chosen, key, rank, itself)) in self._known:
            return self._known[known]
        chosen = [self._edits[n] for n in self.chosen]
        tried = {
            number: its
            for number in its_edits
            if (its := self._edits[number]).rank <= rank
            and not any(_overlap(its, other) for other in chosen)
        }
        gains: dict[frozenset[int], Option] = {}  # of those that do the same the likeliest
        shows = dict[tuple[int, ...], bool]()
        if not itself:
            shows = {(number,): True for number in tried}
        terms, mends_a_term = set[int](), set[int]()
        if (itself or rank < _HIGHEST) and tried and not self._is_over():
            screened, terms, mends_a_term = self._screened(key, chosen, tried)
            shows |= screened
        for numbers, it_shows in shows.items():
            now, visits, _ = self._seen((*self.chosen, *numbers))
            new, lost = now - self._now.found - self._terms - terms, self._now.found - now
            count = self._quantities.count
            gain, after = count(new) * it_shows - 2 * count(lost), visits.get(key, [])
            if not (new or lost) and before.count(False) == 1 and len(after) == len(before) > 1:
                gain = 2 * all(after)  # right at all visits, not at all but one
            if gain > 0:
                gain += len(mends_a_term & {*numbers})
                option = Option(gain, numbers, all(after) and len(after) > 1)
                gains.setdefault(frozenset(now), option)
        self._known[known] = sorted(gains.values(), key=lambda its: (-its.gain, self._unlike(its)))
        return self._known[known]

    def _unlike(self, option: Option) -> tuple[int, float]:
        """Sorts first edits of small rank, then those that are spelt like what they replace."""
        edits = [self._edits[number] for number in option.numbers]
        alike = sum(SequenceMatcher(None, e.old, e.text).ratio() for e in edits)
        return sum(edit.rank for edit in edits), -alike

    def _screened(
        self, key: tuple[str, int], chosen: Sequence[Edit], edits: Mapping[int, Edit]
    ) -> tuple[dict[tuple[int, ...], bool], set[int], set[int]]:
        """The edits of a line with which it computes a quantity, one of those that do the same.

        Whether it shows: not if the line is right at the first visit, and the same with the edit.
        Then the quantities that are terms of the line: to leave out the others shows nothing; and
        the edits with which one more term is a quantity.
        """
        of_edit, of_terms = dict[int, list[Any]](), dict[int, list[Any]]()
        visits = self._now.visits[key]
        terms = set[int]()
        for number, *both in self._screen.values(chosen, edits, visits):
            for of, values in zip((of_edit, of_terms), both, strict=True):
                sights = tuple((self._quantities.same(v), _digest(v)) for v in values)
                of.setdefault(number, []).append(sights)
            if number == UNEDITED:
                terms |= self._sums(both[1])
        found = self._now.found | self._terms | terms
        shapes = _shapes(of_edit.get(UNEDITED, []))
        first: dict[tuple[Any, ...], int] = {}
        elsewhere = dict[tuple[int, ...], bool]()  # edits of what the value is given to
        as_it_is = of_edit.get(UNEDITED, [])[:1] if visits[0] else [None]
        for number, edit in edits.items():
            seen = of_edit.get(number, [])
            same = {its for visit in seen for its, _ in visit}
            is_partly = any(visits) and None not in same
            if seen and shapes and shapes != _shapes(seen):
                continue
            if same - found - {None} or (same and is_partly):
                first.setdefault(tuple(seen), number)
            elif self._screen.is_elsewhere(edit, of_right=bool(same - {None})):
                elsewhere[number,] = True
        shows: dict[tuple[int, ...], bool] = {
            (number,): list(seen[:1]) != as_it_is or number in self._reading
            for seen, number in first.items()
        }
        of_place = _mended_terms(of_terms)
        of_several = dict.fromkeys(self._together(of_place), True)
        mends_a_term = {number for numbers in of_place.values() for number in numbers}
        return shows | elsewhere | of_several, terms, mends_a_term

    def _sums(self, terms: Sequence[Any]) -> set[int]:
        """The quantities that are terms, or sums of terms that are quantities."""
        right = [a for a in terms if self._quantities.same(a) is not None]
        its = (a for n in range(1, len(right) + 1) for a in combinations(right[:_MOST_TERMS], n))
        with suppress(ValueError):  # of shapes that do not go together
            numbers = {self._quantities.same(sum(some)) for some in its}
            return {number for number in numbers if number is not None}
        return set()

    def _together(self, of_place: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, ...]]:
        """One edit of each term that is mended by one, if there are several."""
        if len(of_place) > 1:
            for numbers in product(*(numbers[:_OPTIONS] for numbers in of_place.values())):
                several = [self._edits[number] for number in numbers]
                if not any(_overlap(a, b) for a, b in combinations(several, 2)):
                    yield numbers

    def _is_over(self) -> bool:
        return time.process_time() > self._end

    def _take(self, numbers: tuple[int, ...]) -> None:
        self.chosen = numbers
        self._now = self._seen(numbers)
        self._terms = self._all_terms()

    def _all_terms(self) -> set[int]:
        """The quantities that are terms of sums: another line that computes one shows nothing."""
        terms = self._screen.terms([self._edits[number] for number in self.chosen])
        return {its for its in map(self._quantities.same, terms) if its is not None}

    def _seen(self, numbers: Sequence[int]) -> Seen:
        self._runs += 1
        if self._runs % 16 == 0 and self._is_over():  # to ask for the time takes long
            self._runs -= 1
            return Seen(set(), {}, False)
        its = [self._edits[n] for n in numbers]
        with self._program.with_edits(its) as valid:
            read = {name for edit in its for name in _names(edit)}
            return self._sights.of(self._run, read) if valid else Seen(set(), {}, False)


def _digest(value: Any) -> Any:
    """The same for values that differ by rounding alone."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return None
    return value.shape, hash(value.astype(np.float32).tobytes())


def _shapes(visits: Sequence[Any]) -> list[Any]:
    """Of what is computed at the first visit."""
    return [digest and digest[0] for _, digest in visits[0]] if visits else []


def _mended_terms(of_terms: Mapping[int, list[Any]]) -> dict[int, list[int]]:
    """For the numbers of terms the edits with which they are quantities, and are not without."""
    as_they_are, found = of_terms.get(UNEDITED, []), dict[int, list[int]]()
    for number, visits in of_terms.items():
        changed = _changed_terms(as_they_are, visits) if number != UNEDITED else set()
        if len(changed) == 1:
            (place,) = changed
            pairs = zip(as_they_are, visits, strict=True)
            its = [(before[place][0], after[place][0]) for before, after in pairs]
            now = next((after for before, after in its if before is None), None)
            if now is not None and not any(a is None for b, a in its if b is not None):
                found.setdefault(place, []).append(number)
    return found


def _changed_terms(before: Sequence[Any], after: Sequence[Any]) -> set[int]:
    """The numbers of the terms that differ at a visit; none if they are not as many."""
    if [*map(len, before)] != [*map(len, after)]:
        return set()
    pairs = zip(before, after, strict=True)
    return {n for b, a in pairs for n, (x, y) in enumerate(zip(b, a, strict=True)) if x != y}


def _names(edit: Edit) -> set[str]:
    return {*re.findall(r"[A-Za-z_]\w*", edit.text)}


def _overlap(one: Edit, other: Edit) -> bool:
    return one.function is other.function and one.start < other.end and other.start < one.end
