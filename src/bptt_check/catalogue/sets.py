"""Find the set of mistakes that together give a candidate's answers, block by block.

A set grows by a mistake that gives it a further block of the answer, and leaves it those that it
gives. It grows in stages, each the question of the one before and more: at one step only the local
mistakes show, at two the errors passed back, then those that depend on the number of steps. At last
come the problems that refute the set. So the sets of five mistakes need not all be tried.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from bptt_check.catalogue.probe import Probe
from bptt_check.networks.problems import Problem
from bptt_check.tracing.reverse import Gradients, Mistake

_KEPT = 3  # sets, at each stage
_MOST_MISTAKES = 6  # in a set
_MOST_STAGES = 9
#: Steps of a reverse pass that are computed at most, of all altered ones together.
_MOST_NODES = 4_000_000


class Mistakes(Protocol):
    """What the search asks of a catalogue."""

    mistakes: list[Mistake]

    def of(self, mistake: Mistake, problem: Problem) -> Gradients | None:
        """The gradients with this mistake."""

    def kept(self, mistake: Mistake, problem: Problem) -> Gradients | None:
        """The same, computed once."""

    def reach(self, mistake: Mistake) -> set[str]:
        """The arguments whose gradients it can change."""


@dataclass(frozen=True)
class Found:
    """A set of mistakes, by their numbers in the catalogue, and all of them as one.

    `left`: the blocks that it does not give, at each stage. `like`: for each mistake the others
    that do the same at the stage that found it.
    """

    parts: tuple[int, ...] = ()
    total: Mistake | None = None
    left: tuple[int, ...] = ()
    like: tuple[tuple[int, ...], ...] = ()

    @property
    def blocks_left(self) -> int:
        """The blocks that it does not give at some stage."""
        return _union(self.left)


def in_stages(probes: Sequence[Probe]) -> list[Probe]:
    """Of the problems with one, two and more steps, those that tell mistakes best, then cheapest.

    Sizes of 1 and special values hide mistakes.
    """
    found = []
    for steps in ((1,), (2,), range(3, 9)):
        those = [p for p in probes if p.problem.sizes.get("time", 1) in steps]
        if those:
            found.append(min(those, key=lambda p: (_hides(p), p.cost)))
    return found or [min(probes, key=lambda p: p.cost)]


def _hides(probe: Probe) -> tuple[bool, bool]:
    """Whether numbers are equal, 0, tiny or huge; whether an axis has size 1."""
    special = any(
        len(np.unique(value)) < value.size or not 0.1 < abs(value).max(initial=0) < 10
        for name, value in probe.problem.values.items()
        if value.dtype.kind == "f" and name in probe.step.tape.network.differentiated
    )
    sizes = [size for axis, size in probe.problem.sizes.items() if axis != "time"]
    return special, min(sizes, default=2) < 2


class Search:
    """The search for the mistakes of one candidate.

    Args:
        catalogue: the mistakes to choose from.
        probes: all problems with the candidate's answers.
    """

    def __init__(self, catalogue: Mistakes, probes: Sequence[Probe]) -> None:
        self.catalogue, self.probes = catalogue, probes
        self.stages = in_stages(probes)
        self.nodes = 0
        self._effects: dict[tuple[int, int], int | None] = {}

    def run(self) -> Iterator[Found]:
        """The set that gives most blocks at every problem; before it, that at one step."""
        found = [Found()]
        for stage in range(len(self.stages)):
            found = self._grown(found, stage)
            if not found[0].parts and found[0].left[0]:
                return  # what shows at one step is not explained: nor is anything else
            if not stage and self.stages[0].problem.sizes.get("time") == 1:
                yield self._needed(found[0])
        refuting = self._refuting(found[0])
        while refuting is not None and len(self.stages) < _MOST_STAGES:
            self.stages.append(refuting)
            found = self._grown(found, len(self.stages) - 1)
            refuting = self._refuting(found[0])
        yield self._needed(found[0])

    def given(self, found: Found, probes: Sequence[Probe]) -> int:
        """The blocks that a set gives at all of these problems."""
        given = self.stages[0].all & ~found.blocks_left
        for probe in probes:
            given &= ~self._exactly(found.total, probe, given)
        return given

    def _grown(self, before: Sequence[Found], stage: int) -> list[Found]:
        """The best sets at this stage, among these and those that they grow to."""
        probe = self.stages[stage]
        new = [replace(f, left=(*f.left, self._left(f.total, probe))) for f in before]
        reached = new = self._best(self._exchanged(f) for f in new)
        while new and self.nodes < _MOST_NODES:
            grown = [g for f in new for g in self._best(self._larger(f, stage))]
            if not grown and not stage and not new[0].parts and new[0].left[0]:
                grown = list(self._scaled(new[0]))
            new = [self._measured(f) for f in self._best(self._exchanged(g) for g in grown)]
            reached = self._best([*reached, *new])
            new = [f for f in new if f in reached]
        return reached

    def _measured(self, found: Found) -> Found:
        """The set, with what it leaves at the stages before the one that it grew at."""
        earlier = self.stages[: len(found.left) - 1]
        left = (self._left(found.total, probe) for probe in earlier)
        return replace(found, left=(*left, found.left[-1]))

    def _larger(self, found: Found, stage: int) -> Iterator[Found]:
        """The set with one more mistake, which gives it further blocks of this stage."""
        left, probe = found.left[stage], self.stages[stage]
        if not left or len(found.parts) == _MOST_MISTAKES:
            return
        for like in self._eligible(found, stage):
            total = self._with(found.total, like[0])
            if total is not None and self.nodes < _MOST_NODES:
                now = self._left(total, probe, kept=not found.parts)
                if now != left and not now & ~left:
                    yield Found(
                        (*found.parts, like[0]),
                        total,
                        (*found.left[:stage], now),
                        (*found.like, like),
                    )

    def _eligible(self, found: Found, stage: int) -> Iterator[tuple[int, ...]]:
        """The mistakes that change none of the blocks given, alike ones together."""
        alike: dict[bytes, list[int]] = {}
        labels, left = self.stages[stage].labels, found.left[stage]
        names = {label[1:].partition(",")[0] for b, label in enumerate(labels) if left >> b & 1}
        for number, mistake in enumerate(self.catalogue.mistakes):
            if names & self.catalogue.reach(mistake) and self._is_eligible(number, found, stage):
                key = b"".join(self._outcome(number, s) for s in range(min(stage, 2) + 1))
                alike.setdefault(key, []).append(number)
        for numbers in alike.values():
            yield tuple(sorted(numbers, key=self._rank))

    def _is_eligible(self, number: int, found: Found, stage: int) -> bool:
        for earlier in range(stage + 1):
            effect = self._effect(number, earlier)
            if effect is None or effect & ~found.left[earlier]:
                return False
        return bool(effect)

    def _exchanged(self, found: Found) -> Found:
        """The set with mistakes replaced by alike ones, where that gives further blocks."""
        stage = len(found.left) - 1
        for place, like in enumerate(found.like):
            for number in like if found.left[stage] else ():
                parts = (*found.parts[:place], number, *found.parts[place + 1 :])
                total = self._sum(parts)
                if total is None or number == found.parts[place]:
                    continue
                left = self._left(total, self.stages[stage])
                if left != found.left[stage] and not left & ~found.left[stage]:
                    found = Found(parts, total, (*found.left[:stage], left), found.like)
        return found

    def _scaled(self, nothing: Found) -> Iterator[Found]:
        """A factor of all gradients and one more mistake: neither alone gives a block."""
        probe, mistakes = self.stages[0], self.catalogue.mistakes
        factors: dict[float, int] = {}
        for number, mistake in enumerate(mistakes):
            if mistake.scale:
                factors.setdefault(mistake.scale(probe.problem.sizes), number)
        for factor, number in factors.items():
            unscaled = replace(probe, answer={n: g / factor for n, g in probe.answer.items()})
            for other, second in enumerate(mistakes) if factor != 1 else ():
                outcome, total = (
                    self.catalogue.kept(second, probe.problem),
                    second + mistakes[number],
                )
                gives = total and outcome and probe.is_valid(outcome)
                if gives and unscaled.differs(outcome) & unscaled.wrong != unscaled.wrong:
                    left = self._left(total, probe)
                    if left != nothing.left[0]:
                        yield Found((number, other), total, (left,), ((number,), (other,)))

    def _refuting(self, found: Found) -> Probe | None:
        """A problem at which the set does not give what it gives at all stages."""
        given = self.stages[0].all & ~found.blocks_left
        others = sorted((p for p in self.probes if p not in self.stages), key=lambda p: p.cost)
        wrong = (p for p in others if self._exactly(found.total, p, given) & given)
        return next(wrong, None) if given and found.parts else None

    def _needed(self, found: Found) -> Found:
        """The set without the mistakes that give no block which is given at all its stages."""
        given = self.stages[0].all & ~found.blocks_left
        for number in sorted(found.parts, key=self._rank, reverse=True):
            rest = tuple(n for n in found.parts if n != number)
            total = self._sum(rest)
            stages = self.stages[: len(found.left)]
            left = tuple(self._exactly(total, probe, given) for probe in stages)
            if not _union(left) & given:
                like = tuple(
                    li for n, li in zip(found.parts, found.like, strict=True) if n != number
                )
                found = Found(rest, total, left, like)
        return found

    def _best(self, found: Iterable[Found]) -> list[Found]:
        """The sets that leave fewest blocks, of these the smallest and likeliest."""
        sets: dict[frozenset[int], Found] = {}
        for each in sorted(found, key=self._order):
            sets.setdefault(frozenset(each.parts), each)
        return [*sets.values()][:_KEPT]

    def _order(self, found: Found) -> tuple[int, int, int]:
        blocks = sum(left.bit_count() for left in found.left)
        return blocks, len(found.parts), sum(self._rank(n)[0] for n in found.parts)

    def _rank(self, number: int) -> tuple[int, int]:
        mistake = self.catalogue.mistakes[number]
        return mistake.rank, len(mistake.sentence)

    def _with(self, total: Mistake | None, number: int) -> Mistake | None:
        mistake = self.catalogue.mistakes[number]
        return mistake if total is None else total + mistake

    def _sum(self, parts: Sequence[int]) -> Mistake | None:
        """The mistakes as one; None for none, or if two of them exclude each other."""
        total: Mistake | None = None
        for place, number in enumerate(parts):
            total = self._with(total, number)
            if total is None and place:
                return None
        return total

    def _left(self, total: Mistake | None, probe: Probe, kept: bool = False) -> int:
        if total is None:
            return probe.wrong
        of = self.catalogue.kept if kept else self.catalogue.of
        return probe.left(total, self._counted(of, total, probe), first=True)

    def _exactly(self, total: Mistake | None, probe: Probe, among: int) -> int:
        """The same; whether these blocks are given is decided as finely as can be."""
        found = self.catalogue.of(total, probe.problem) if total else None
        return probe.left(total, found, among=among)

    def _effect(self, number: int, stage: int) -> int | None:
        key = number, stage
        if key not in self._effects:
            probe, mistake = self.stages[stage], self.catalogue.mistakes[number]
            of = self.catalogue.kept if stage < 3 else self.catalogue.of
            self._effects[key] = probe.effect(self._counted(of, mistake, probe))
        return self._effects[key]

    def _outcome(self, number: int, stage: int) -> bytes:
        probe = self.stages[stage]
        found = self.catalogue.kept(self.catalogue.mistakes[number], probe.problem)
        assert found is not None  # it has an effect
        return b"".join(np.float32(found[n]).tobytes() for n in probe.answer)

    def _counted(
        self, of: Callable[..., Gradients | None], mistake: Mistake, probe: Probe
    ) -> Gradients | None:
        self.nodes += len(probe.graph.nodes)
        return of(mistake, probe.problem)


def _union(sets: Iterable[int]) -> int:
    found = 0
    for each in sets:
        found |= each
    return found
