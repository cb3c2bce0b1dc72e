"""Find the edits that together mend a pass, gradient by gradient, as naming finds mistakes."""

import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import reduce
from itertools import combinations
from operator import or_
from typing import Any, NamedTuple, Protocol

import numpy as np

from bptt_check.catalogue import Catalogue
from bptt_check.catalogue.derived import Outcomes
from bptt_check.editing.workshop import Offer
from bptt_check.mending.quantities import quantities
from bptt_check.naming.evidence import Evidence
from bptt_check.naming.explanations import Asked, labelled
from bptt_check.naming.probe import Probe
from bptt_check.naming.sets import Found, Search, combine, in_stages
from bptt_check.networks.network import Array
from bptt_check.networks.problems import Problem
from bptt_check.tracing.mistakes import Mistake, Mistakes, Part
from bptt_check.tracing.reverse import Gradients

#: The ranks up to which edits are tried, one level after the other; whether each two are.
_LEVELS = ((1, False), (3, False), (9, False), (9, True))
_MOST_PAIRED = 60  # edits, of which each two are tried
_COMPARED = 5  # problems of several steps at which an edit for one step must help
_MOST_EXCHANGED = 8  # edits that do the same at one step
#: Runs, seconds of a processor, and seconds: whichever is over first.
_MOST_RUNS, _MOST_SECONDS, _LONGEST = 10_000, 15.0, 60.0


class Bench(Protocol):
    """The pass with its edits: a `Workshop`, in this process or another one."""

    offers: Sequence[Offer]
    functions: Sequence[tuple[str, int, str]]  # file, first line and text of each that runs
    seconds: float  # of its processor, spent on what was tried

    def tried(self, edits: Sequence[int], question: int) -> Mapping[str, Any] | None:
        """The gradients with these edits; None if it fails."""

    def likely(self, quantities: Sequence[Sequence[Array]]) -> Sequence[int]:
        """The edits with which more lines compute one of these, at the first question."""


class Mended(NamedTuple):
    """The numbers of edits; of the wrong gradients those that are right with them, and the others.

    Both at every problem; `one_step`: at those of one step.
    """

    edits: tuple[int, ...]
    right: tuple[str, ...]
    left: tuple[str, ...]
    one_step: bool = False


class Mending:
    """A wrong pass, with the edits of its lines.

    Args:
        bench: asked the problems of `trials` by their numbers.
        truncated: what the lines of a right pass compute is not known.
    """

    def __init__(
        self, bench: Bench, catalogue: Catalogue, trials: Sequence[Asked], truncated: bool = False
    ) -> None:
        self._edits = _Edits(bench, trials)
        self._probes = probes = [_outcome(a, catalogue, np.inf) for a in trials]
        #: As they must be; before that, clipped as the pass does: other lines are found first.
        self._targets = [probes]
        if (size := _clip(trials)) is not None:
            self._targets.insert(0, [_outcome(a, catalogue, size) for a in trials])
        self._wrong = reduce(or_, (p.wrong for p in probes))
        self._right = probes[0].all & ~self._wrong & ~probes[0].zero
        self._moved = self._edits.moved(in_stages(probes)[-1])
        self._graph = catalogue.graph(trials[0].problem)
        self._likely: Mistakes | None = None
        self._truncated = truncated
        self._at_one_step = Found()

    def leading(self) -> tuple[tuple[int, ...], bool, tuple[str, ...]]:
        """The offers that move values which wrong gradients depend on, and right ones do not.

        Then whether every wrong gradient depends on each of them, and the names of these.
        """
        its = {n: b for n, b in self._moved.items() if b & self._wrong and not b & self._right}
        to_all = tuple(n for n, blocks in its.items() if not self._wrong & ~blocks)
        wrong = sorted(self._probes[0].names_of(self._wrong))
        return to_all or tuple(its), bool(to_all), tuple(f"d{name}" for name in wrong)

    def mended(self) -> Mended:
        """The edits with which all gradients are right, or as many as possible."""
        edits, wrong, found = self._edits, self._wrong, Found()
        edits.forget({n for n, blocks in self._moved.items() if blocks & self._right})
        for probes in self._targets if edits.numbers else ():
            given = found.parts if probes is not self._probes else edits.unclipped(found.parts)
            if not found.blocks_left:
                edits.begin_anew()
            its = self._found(probes, given)
            found = its if its.parts else found
        edits.begin_anew()
        evidence, first = Evidence(edits, self._probes), self._probes[0]
        right = evidence.given(found.parts, first.all) if found.parts else 0
        parts = found.parts if not wrong & ~right else evidence.needed(found.parts, right)
        for line in {m.where for m in parts}:  # several edits of one may come to nothing
            rest = tuple(m for m in parts if m.where != line)
            if len(parts) - len(rest) > 1 and evidence.given(rest, right) == right:
                parts = rest
        if wrong & ~right and (of_one_step := self._of_one_step(right)) is not None:
            return of_one_step
        return self._said(parts, wrong, right)

    def _of_one_step(self, right: int) -> Mended | None:
        """The edits with which gradients are right at one step, if more than these are."""
        probes, found = [p for p in self._probes if p.steps == 1], self._at_one_step
        if not found.parts:
            return None
        wrong, every = reduce(or_, (p.wrong for p in probes)), probes[0].all
        evidence = Evidence(self._edits, probes, one_step=True)
        parts, given = evidence.supported(self._nearer(found.parts), every)
        if not given & wrong & ~right or every & ~given & ~wrong:
            return None
        return self._said(evidence.needed(parts, given), wrong, given, one_step=True)

    def _nearer(self, parts: Mistakes) -> Mistakes:
        """Those without which the gradients of more steps, too, are mostly further from right."""
        longer = sorted((p for p in self._probes if p.steps > 1), key=lambda p: p.cost)[:_COMPARED]
        away = [self._away(parts, p) for p in longer]
        for m in parts:
            rest = tuple(other for other in parts if other is not m)
            nearer = [now < self._away(rest, p) for now, p in zip(away, longer, strict=True)]
            if 2 * sum(nearer) <= len(nearer):
                return self._nearer(rest)
        return parts

    def _away(self, parts: Mistakes, probe: Probe) -> float:
        """How far the gradients are from right, of their size."""
        found = self._edits.of(parts, probe.problem)
        with np.errstate(all="ignore"):
            away = [
                float(abs(found[n] - its).sum() / abs(its).sum()) if found else np.inf
                for n, its in probe.answer.items()
                if its.any()
            ]
        return sum(away) if np.isfinite(away).all() else np.inf

    def _said(self, parts: Mistakes, wrong: int, right: int, one_step: bool = False) -> Mended:
        numbers, first = tuple(self._edits.numbers[m] for m in parts), self._probes[0]
        right, left = wrong & right, wrong & ~right
        return Mended(numbers, labelled(first, right), labelled(first, left), one_step)

    def leave_out(self, numbers: Sequence[int]) -> None:
        """Try these edits no more."""
        self._edits.numbers = {m: n for m, n in self._edits.numbers.items() if n not in numbers}
        self._likely, self._at_one_step = None, Found()

    def _found(self, probes: Sequence[Probe], given: Mistakes) -> Found:
        """The edits with which the pass returns what these ask for; `given` are some of them."""
        edits, found = self._edits, Found()
        if _is_enough(given, edits, probes):
            return _begun(given, (0,))
        for rank, in_pairs in _LEVELS:
            edits.limit(rank)
            if rank > 1 and self._likely is None and not self._truncated:
                self._likely = edits.likely(quantities(self._graph))
                if _is_enough(self._likely, edits, probes):
                    return _begun(self._likely, (0,))
            begin_with = [given, found.parts, self._likely or (), ()]
            search = _Search(edits, probes, begin_with, in_pairs)
            *one_step, last = [found, *search.run()]
            for each in one_step[1:]:
                before = self._at_one_step
                if not before.parts or each.left[0].bit_count() < before.left[0].bit_count():
                    self._at_one_step = each
            if last.parts and (not found.parts or _left(last) < _left(found)):
                found = last
            if found.parts and not found.blocks_left:
                break
        return found


def _clip(trials: Sequence[Asked]) -> float | None:
    """The size that gradients are clipped to, entry by entry: the largest of several problems."""
    with np.errstate(all="ignore"):
        largest = [max(float(abs(g).max(initial=0)) for g in a.answer.values()) for a in trials]
    size = max(largest)
    return size if largest.count(size) > 1 else None


def _is_enough(its: Mistakes, edits: "_Edits", probes: Sequence[Probe]) -> bool:
    """Whether the pass returns with these edits what the problems ask for."""
    every = probes[0].all
    return bool(its) and Evidence(edits, probes).given(its, every) == every


def _begun(its: Mistakes, left: tuple[int, ...] = ()) -> Found:
    """A set of edits that have no alike ones."""
    return Found(its, left, tuple((m,) for m in its))


def _left(found: Found) -> int:
    return found.blocks_left.bit_count()


def _outcome(a: Asked, catalogue: Catalogue, clip: float) -> Probe:
    """The right gradients are what is imitated; the candidate's own are what is changed."""
    wanted = {name: np.clip(a.right.gradients[name], -clip, clip) for name in a.answer}
    own = a.right._replace(gradients=dict(a.answer))
    return Probe(a.problem, wanted, own, catalogue.step, graph=None)


class _Edits(Outcomes):
    """Edits as a catalogue of mistakes: what the pass returns with them."""

    def __init__(self, bench: Bench, trials: Sequence[Asked]) -> None:
        super().__init__()
        self._bench = bench
        self._question = {id(a.problem): number for number, a in enumerate(trials)}
        self.numbers = {
            self._mistake(o): number for number, o in enumerate(bench.offers) if o.rank >= 0
        }
        self.begin_anew()
        self._names = set(trials[0].answer)

    def _mistake(self, o: Offer) -> Mistake:
        octets = tuple((o.function, octet) for octet in range(o.start, o.end))
        added = ((o.function, (o.start, o.text)),)
        part = Part("source", o.old, octets or added)
        return Mistake(part, "replaced", (o.text,), rank=o.rank, where=f"line {o.line}")

    def begin_anew(self) -> None:
        """Run it as if no time were spent."""
        self.computed = 0
        self._ends = self._bench.seconds + _MOST_SECONDS, time.monotonic() + _LONGEST

    def likely(self, quantities: Sequence[Sequence[Array]]) -> Mistakes:
        """Edits with which more lines compute what the right pass does."""
        its, found = {n: m for m, n in self.numbers.items()}, list[Mistake]()
        for number in self._bench.likely(quantities):
            if number in its and combine(tuple(found), its[number]):
                found.append(its[number])
        return tuple(found)

    def unclipped(self, given: Mistakes) -> Mistakes:
        """These, and the edits that take the clips out."""
        for m in sorted(self.numbers, key=lambda m: m.rank):
            old, new = m.part.label.replace('"', "'"), str(m.by[0])
            is_out = new == "pass" or f"({new}," in old
            if "clip" in old and is_out and combine(given, m):
                given = (*given, m)
        return given

    def limit(self, rank: int) -> None:
        """Offer the edits up to this rank."""
        self.mistakes = [m for m in self.numbers if m.rank <= rank]

    def moved(self, probe: Probe) -> dict[int, int]:
        """What moves if a value is moved, for each offer that moves one."""
        moves = {o.move for o in self._bench.offers} - {-1}
        return {n: probe.effect(self._run((n,), probe.problem)) or 0 for n in sorted(moves)}

    def forget(self, moves: Set[int]) -> None:
        """Leave out the edits of the values that these offers move."""
        offers, kept = self._bench.offers, self.numbers.items()
        self.numbers = {m: n for m, n in kept if offers[n].move not in moves}

    def _run(self, numbers: Sequence[int], problem: Problem) -> Gradients | None:
        if self._bench.seconds > self._ends[0] or time.monotonic() > self._ends[1]:
            self.computed += _MOST_RUNS
            return None
        found = self._bench.tried(numbers, self._question[id(problem)])
        self.computed += 1
        return dict(found) if found is not None and found.keys() >= self._names else None

    def reach(self, mistake: Mistake) -> set[str]:
        return self._names

    def of(self, mistakes: Mistakes, problem: Problem) -> Gradients | None:
        return self._run([self.numbers[m] for m in mistakes], problem)


class _Search(Search):
    """The search; with `in_pairs`, it also tries each two of the likeliest edits together."""

    most_mistakes = 20

    def __init__(
        self,
        edits: _Edits,
        probes: Sequence[Probe],
        begin_with: Sequence[Mistakes],
        in_pairs: bool,
    ) -> None:
        super().__init__(edits, probes, _MOST_RUNS - edits.computed)
        self._each_pair = in_pairs
        self._begin_with = [_begun(its) for its in dict.fromkeys(begin_with)]

    def _in_pairs(self, found: Found) -> Iterator[Found]:
        yield from super()._in_pairs(found)
        yield from self._each_two(found)

    def _with_transport(self, found: Found) -> Iterator[Found]:
        """An edit exchanged for one that does the same at one step, and one more; or any two."""
        stage = len(found.left) - 1
        left, probe = found.left[stage], self.stages[stage]
        more = [like[0] for like in self._eligible(found, stage)] if left else []
        more.sort(key=lambda m: m.rank)
        for place, like in enumerate(found.like):
            others = found.parts[:place] + found.parts[place + 1 :]
            for own in (m for m in like[:_MOST_EXCHANGED] if combine(others, m)):
                parts = (*found.parts[:place], own, *found.parts[place + 1 :])
                for mistake in more[:_MOST_PAIRED] if own != found.parts[place] else ():
                    now = None if self.is_over else self._fewer(parts, mistake, left, probe)
                    if now is not None and left & ~now & ~self.zero:
                        yield replace(found, parts=parts).added(mistake, (mistake,), now)
        yield from self._any(found)
        yield from self._each_two(found)

    def _any(self, found: Found) -> Iterator[Found]:
        """One more edit for what is left of much: alone it changes more than beside the others."""
        stage = len(found.left) - 1
        left, probe = found.left[stage], self.stages[stage]
        if 2 * left.bit_count() < (probe.wrong & ~self.zero).bit_count():
            for mistake in self._likeliest:
                now = None if self.is_over else self._fewer(found.parts, mistake, left, probe)
                if now is not None and left & ~now & ~self.zero:
                    yield found.added(mistake, (mistake,), now)

    def _each_two(self, found: Found) -> Iterator[Found]:
        stage = len(found.left) - 1
        left, probe = found.left[stage], self.stages[stage]
        if not left & ~self.zero or not self._each_pair:
            return
        eligible = sorted(self._eligible(found, stage), key=lambda like: like[0].rank)
        for first, second in combinations(eligible[:_MOST_PAIRED], 2):
            if self.is_over or not (first[0] + second[0] and combine(found.parts, first[0])):
                continue
            now = self._fewer((*found.parts, first[0]), second[0], left, probe)
            if now is not None and left & ~now & ~self.zero:
                yield found.added(first[0], first, now).added(second[0], second, now)
