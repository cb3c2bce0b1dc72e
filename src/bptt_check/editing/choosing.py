"""Choose edits by what single lines compute: a quantity of the network's reverse pass, or nothing.

Final gradients are right once all mistakes on the way to them are mended. A line that computes the
gradient of a state, or a term of one, is seen to be right as soon as what it reads is: so mistakes
are found one after the other, in the order in which lines run.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import combinations, islice, product
from typing import Any, NamedTuple

import numpy as np

from bptt_check.editing.program import Edit, Program
from bptt_check.editing.quantities import Quantities, Seen, Sights
from bptt_check.editing.screening import UNEDITED, Numbers, Screen

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
_MOST_TERMS, _MOST_ADDED = 10, 4  # terms, of which each sum of so many is looked at
_MOST_TOGETHER = 2000  # choices of edits for all terms of a line


class Option(NamedTuple):
    """Edits of a line, and how many quantities they give; `always`: at each visit of the line."""

    gain: int
    numbers: Numbers
    always: bool


class Change(NamedTuple):
    """An edit of a term of a line: what quantity it is without and with it, None for no one."""

    place: int
    number: int
    before: int | None
    after: int


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
            for keys in self._wrong_first():
                if self.chosen == before:
                    self._take_likely(keys, level, unsure)
            if self.chosen == before and level.together:
                self._combine(unsure)
            reached = reached + 1 if self.chosen == before else 0
        return self.chosen

    def _wrong_first(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """The lines that are wrong when first run, and those that only read what is wrong."""
        right = {key for key, visits in self._now.visits.items() if visits and visits[0]}
        return [key for key in self._at if key not in right], [k for k in self._at if k in right]

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
        """The option that gives several quantities, or the only one up to this rank, or always."""
        if options and options[0].gain > 1:
            return options[0]
        likely = [
            option
            for option in options
            if all(self._edits[n].rank <= rank for n in option.numbers)
            or (option.always and rank > 1)
        ]
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
        """What edits of a line give, most first; with `itself`, those that give it a quantity."""
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
        screened, mends_a_term = list[Numbers](), set[int]()
        if (itself or rank < _HIGHEST) and tried and not self._is_over():
            screened, mends_a_term = self._screened(key, chosen, tried)
        alone = [] if itself else [(number,) for number in tried]
        for numbers in dict.fromkeys([*alone, *screened]):
            now, visits, _ = self._seen((*self.chosen, *numbers))
            new, lost = now - self._now.found - self._terms, self._now.found - now
            count = self._quantities.count
            gain, after = count(new) - 2 * count(lost), visits.get(key, [])
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
    ) -> tuple[list[Numbers], set[int]]:
        """A line's edits that give it a quantity, one of alike ones; those that give a term one."""
        of_edit, of_terms = dict[Numbers, list[Any]](), dict[Numbers, list[Any]]()
        visits = self._now.visits[key]
        alone: dict[Numbers, Sequence[Edit]] = {(number,): [edit] for number, edit in edits.items()}
        for numbers, *both in self._screen.values(chosen, alone, visits):
            for of, values in zip((of_edit, of_terms), both, strict=True):
                sights = tuple((self._quantities.same(v), _digest(v)) for v in values)
                of.setdefault(numbers, []).append(sights)
        found = self._now.found | self._terms
        shapes = _shapes(of_edit.get(UNEDITED, []))
        first: dict[tuple[Any, ...], Numbers] = {}
        elsewhere = list[Numbers]()  # edits of what the value is given to
        for numbers, (edit,) in alone.items():
            seen = of_edit.get(numbers, [])
            same = {its for visit in seen for its, _ in visit}
            is_partly = any(visits) and None not in same
            if seen and shapes and shapes != _shapes(seen):
                continue
            if same - found - {None} or (same and is_partly):
                first.setdefault(tuple(seen), numbers)
            elif self._screen.is_elsewhere(edit, of_right=bool(same - {None})):
                elsewhere.append(numbers)
        changes = [*_changes_of_terms(of_terms)]
        several = self._together(changes, found)
        seen_together = self._screen.values(chosen, several, visits) if several else ()
        of_several = [
            numbers
            for numbers, parts, _ in seen_together
            if {self._quantities.same(v) for v in parts} - found - {None}
        ]
        mends_a_term = {change.number for change in changes if change.before is None}
        return [*first.values(), *elsewhere, *dict.fromkeys(of_several)], mends_a_term

    def _together(
        self, changes: Sequence[Change], found: set[int]
    ) -> dict[Numbers, Sequence[Edit]]:
        """Edits of several terms: to what is not found yet, if possible; two are swapped."""
        new: dict[int, list[int | None]] = {}
        for change in sorted(changes, key=lambda change: change.after in found):
            new.setdefault(change.place, [None]).append(change.number)
        swaps: list[Numbers] = [()]
        swaps += [
            (one.number, other.number)
            for one, other in combinations(changes, 2)
            if one.place != other.place and (one.before, one.after) == (other.after, other.before)
        ]
        edits: dict[Numbers, Sequence[Edit]] = {}
        options = (its[: _OPTIONS + 1] for its in new.values())
        for some, swap in islice(product(product(*options), swaps), _MOST_TOGETHER):
            numbers = (*(n for n in some if n is not None), *swap)
            its = [self._edits[n] for n in numbers]
            if len(its) > 1 and not any(_overlap(a, b) for a, b in combinations(its, 2)):
                edits[numbers] = its
        return edits

    def _sums(self, terms: Sequence[Any]) -> set[int]:
        """The quantities that are terms, or sums of terms that are quantities of one shape."""
        of_shape: dict[tuple[int, ...], dict[int, Any]] = {}
        for term in terms:
            if (number := self._quantities.same(term)) is not None:
                of_shape.setdefault(term.shape, {})[number] = term
        found = {number for its in of_shape.values() for number in its}
        for its in of_shape.values():
            several = [*its.values()][:_MOST_TERMS]
            for count in range(2, min(len(several), _MOST_ADDED) + 1):
                sums = (self._quantities.same(sum(some)) for some in combinations(several, count))
                found |= {number for number in sums if number is not None}
        return found

    def _is_over(self) -> bool:
        return time.process_time() > self._end

    def _take(self, numbers: tuple[int, ...]) -> None:
        self.chosen = numbers
        self._now = self._seen(numbers)
        self._terms = self._all_terms()

    def _all_terms(self) -> set[int]:
        """The quantities that are terms, and sums of them: a line that computes one is no find."""
        found, of_visits = set[int](), dict[int, list[Any]]()
        for visit, terms in self._screen.terms([self._edits[number] for number in self.chosen]):
            of_visits.setdefault(visit, []).extend(terms)
            found |= self._sums(terms)  # of one line; and of lines that add to the same sum
        return found.union(*map(self._sums, of_visits.values()))

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


def _changes_of_terms(of_terms: Mapping[Numbers, list[Any]]) -> Iterator[Change]:
    """The edits with which one term is another quantity, and no term is one no more."""
    as_they_are = of_terms.get(UNEDITED, [])
    for numbers, visits in of_terms.items():
        changed = _changed_terms(as_they_are, visits) if numbers != UNEDITED else set()
        if len(changed) == 1 and len(visits[0]) > 1:
            (place,) = changed
            pairs = zip(as_they_are, visits, strict=True)
            its = [(before[place][0], after[place][0]) for before, after in pairs]
            before, after = next(((b, a) for b, a in its if b != a), (None, None))
            if after is not None and all(a is not None for b, a in its if b is not None):
                yield Change(place, numbers[0], before, after)


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
