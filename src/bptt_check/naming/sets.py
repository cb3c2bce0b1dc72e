"""Find the set of mistakes that together give a candidate's answers, block by block.

A set grows by a mistake that gives it a further block of the answer, and leaves it those that it
gives. It grows in stages, each the question of the one before and more: at one step only the local
mistakes show, at more those in the errors passed back. At last come the problems that refute the
set. So the sets of five mistakes need not all be tried.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_

import numpy as np

from bptt_check.catalogue.derived import Outcomes
from bptt_check.naming.evidence import Evidence, is_zero, likeliest, not_given
from bptt_check.naming.probe import Probe
from bptt_check.tracing.mistakes import Mistake, Mistakes
from bptt_check.tracing.reverse import Gradients

_KEPT = 3  # sets, at each stage
_JOINED = 20  # sets with one more mistake, whose mistakes are tried together
_MOST_STAGES = 9
_EXCHANGED = 4  # mistakes that are alike, of which each is tried with one more
#: Operations of the reverse passes that are computed at most, of all altered ones together.
_MOST_COMPUTED = 1_000_000


@dataclass(frozen=True)
class Found:
    """A set of mistakes.

    `left`: the blocks that it does not give, at each stage. `like`: for each mistake those that do
    the same at the stage that found it, itself among them.
    """

    parts: Mistakes = ()
    left: tuple[int, ...] = ()
    like: tuple[Mistakes, ...] = ()

    @property
    def blocks_left(self) -> int:
        """The blocks that it does not give at some stage."""
        return reduce(or_, self.left, 0)

    def as_in(self, other: "Found") -> "Found":
        """The set, with mistakes of the other one for those that do the same."""
        pairs = zip(self.parts, self.like, strict=True)
        parts = tuple(next((m for m in other.parts if m in like), own) for own, like in pairs)
        together = all(combine(parts[:i], part) for i, part in enumerate(parts))
        return replace(self, parts=parts) if together else self

    def added(self, mistake: Mistake, like: Mistakes, left: int) -> "Found":
        """The set with one more mistake, and what it leaves at the last stage."""
        return Found((*self.parts, mistake), (*self.left[:-1], left), (*self.like, like))

    def only(self, mistakes: Mistakes) -> "Found":
        """The set with these of its mistakes alone, which give as much."""
        pairs = zip(self.parts, self.like, strict=True)
        return replace(self, parts=mistakes, like=tuple(li for m, li in pairs if m in mistakes))


def in_stages(probes: Sequence[Probe]) -> list[Probe]:
    """Of the problems with one step and with more, those that tell mistakes best, then cheapest.

    Sizes of 1 and special values hide mistakes.
    """
    found = []
    few = 1 if any(p.steps == 1 for p in probes) else 2  # if it takes no sequence of one step
    for steps in ((few,), range(3, 9)):
        if those := [p for p in probes if p.steps in steps]:
            found.append(min(those, key=lambda p: (not p.wrong, _hides(p), p.cost)))
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

    most_mistakes = 8  # in a set

    def __init__(
        self, catalogue: Outcomes, probes: Sequence[Probe], most: int | None = None
    ) -> None:
        self.catalogue, self.probes = catalogue, probes
        self._most = _MOST_COMPUTED if most is None else most
        self.stages = in_stages(probes)
        self.all = probes[0].all
        self.zero = reduce(and_, (probe.zero for probe in probes))
        self._begin = catalogue.computed
        self._begin_with = [Found()]
        self._likeliest = sorted(catalogue.mistakes, key=lambda m: m.rank)
        #: Alone some have no effect: what they leave out cancels, or is 0.
        self._cuts = [m for m in self._likeliest if m.part.kind == "path" and m.change == "cut"]
        self._effects: dict[tuple[Mistake, int], int | None] = {}

    @property
    def is_over(self) -> bool:
        """Whether it has computed as much as it may."""
        return self._share >= 1

    @property
    def _share(self) -> float:
        spent = self.catalogue.computed - self._begin
        return spent / self._most if self._most else 1.0

    def run(self) -> Iterator[Found]:
        """The set that gives most blocks at every problem; before it, that at one step."""
        found = self._begin_with
        for stage in range(len(self.stages)):
            found = self._grown(found, stage)
            if not found[0].parts and found[0].left[0]:
                return  # what shows at one step is not explained: nor is anything else
            if not stage and self.stages[0].steps == 1:
                yield self._needed(found[0])
        refuting = self._refuting(found[0])
        while refuting is not None and len(self.stages) < _MOST_STAGES:
            self.stages.append(refuting)
            found = self._grown(found, len(self.stages) - 1)
            refuting = self._refuting(found[0])
        yield self._needed(found[0])

    def _grown(self, before: Sequence[Found], stage: int) -> list[Found]:
        """The best sets at this stage, among these and those that they grow to."""
        probe = self.stages[stage]
        new = [replace(f, left=(*f.left, self._left(f.parts, probe))) for f in before]
        reached = new = self._best(self._exchanged(f) for f in new)
        both, tried = self._with_transport if stage else self._in_pairs, set[Mistakes]()
        while not self.is_over:
            grown = [g for f in new for g in self._joined([*self._larger(f, stage)], stage)]
            if not grown and reached[0].parts not in tried:
                tried.add(reached[0].parts)
                grown = [*both(reached[0])]
            if not grown:
                break
            new = [self._measured(f) for f in self._best(self._exchanged(g) for g in grown)]
            reached = self._best([*reached, *new])
            new = [f for f in new if f in reached]
        return reached

    def _measured(self, found: Found) -> Found:
        """The set, with what it leaves at the stages before the one that it grew at."""
        earlier = self.stages[: len(found.left) - 1]
        left = (self._left(found.parts, probe) for probe in earlier)
        return replace(found, left=(*left, found.left[-1]))

    def _larger(self, found: Found, stage: int) -> Iterator[Found]:
        """The set with one more mistake, which gives it further blocks of this stage."""
        left, probe = found.left[stage], self.stages[stage]
        if not left or len(found.parts) >= self.most_mistakes:
            return
        for like in self._eligible(found, stage):
            first = like[0]
            now = None if self.is_over else self._fewer(found.parts, first, left, probe)
            if now is None:
                continue
            if not left & ~now & ~self.zero:  # only blocks that are always 0
                first = next(filter(is_zero, like), first)
                if first.change != "cut":
                    continue
            yield found.added(first, like, now)

    def _joined(self, larger: Sequence[Found], stage: int) -> Iterator[Found]:
        """The best of these sets, each with what the others have added, if that gives more."""
        probe = self.stages[stage]
        ordered = sorted(larger, key=self._order)[:_JOINED]
        for found in ordered[:_KEPT]:
            for other in ordered:
                mistake, left = other.parts[-1], found.left[stage]
                if not left & ~other.left[stage] or len(found.parts) >= self.most_mistakes:
                    continue
                now = self._fewer(found.parts, mistake, left, probe)
                if now is not None:
                    found = found.added(mistake, other.like[-1], now)
            yield found

    def _eligible(self, found: Found, stage: int) -> Iterator[Mistakes]:
        """The mistakes that change none of the blocks given, alike ones together.

        A block that is given by a mistake in its sum or in itself may hide a change. Last come cut
        paths that have no effect alone.
        """
        alike: dict[bytes, list[Mistake]] = {}
        whole = [m for m in found.parts if m.part.kind in ("uses", "answer")]
        reached = [self.catalogue.reach(m) for m in whole]
        few = {name for names in reached if len(names) < 3 for name in names}
        hidden = self.stages[stage].blocks_of(few)
        names = self.stages[stage].names_of(found.left[stage])
        for mistake in self._likeliest:
            reaches = names & self.catalogue.reach(mistake)
            if reaches and self._is_eligible(mistake, found, hidden):
                key = b"".join(self._outcome(mistake, s) for s in range(min(stage, 2) + 1))
                alike.setdefault(key, []).append(mistake)
        for mistakes in alike.values():
            yield tuple(sorted(mistakes, key=likeliest))
        stages = range(len(found.left))
        for mistake in self._cuts if found.parts else ():
            if not any(self._effect(mistake, stage) for stage in stages):
                yield (mistake,)

    def _is_eligible(self, mistake: Mistake, found: Found, hidden: int) -> bool:
        for stage, left in enumerate(found.left):
            is_known = (mistake, stage) in self._effects
            effect = self._effect(mistake, stage) if is_known or self._share < 0.5 else None
            if effect is None or effect & ~(left | hidden | self.stages[stage].zero):
                return False
        return bool(effect)

    def _exchanged(self, found: Found) -> Found:
        """The set with mistakes replaced by alike ones, where that gives further blocks."""
        stage = len(found.left) - 1
        for place, like in enumerate(found.like):
            others = found.parts[:place] + found.parts[place + 1 :]
            for mistake in like if found.left[stage] else ():
                if mistake == found.parts[place] or not combine(others, mistake):
                    continue
                parts = (*found.parts[:place], mistake, *found.parts[place + 1 :])
                left = self._left(parts, self.stages[stage])
                if left != found.left[stage] and not left & ~found.left[stage]:
                    found = Found(parts, (*found.left[:stage], left), found.like)
        return found

    def _in_pairs(self, found: Found) -> Iterator[Found]:
        """The set with two more mistakes, neither of which alone gives a block of one step.

        There, for a single example, a mistake on the way to a block is a factor of each entry; for
        several, only a constant is.
        """
        one_step = [p for p in self.probes if p.steps == 1]
        if not one_step or not found.left[0] or self.is_over:
            return
        probe = min(one_step, key=lambda p: (p.problem.sizes.get("batch", 1), _hides(p)))
        base, eligible = self.catalogue.of(found.parts, probe.problem), [*self._eligible(found, 0)]
        if base is None:
            return
        outcomes = [self.catalogue.kept(like[0], probe.problem) for like in eligible]
        for i, j in probe.products(found.left[0], base, outcomes):
            first, second = eligible[i], eligible[j]
            if not combine(found.parts, first[0]):
                continue
            parts, left = (*found.parts, first[0]), found.left[0]
            now = self._fewer(parts, second[0], left, self.stages[0])
            if now is not None:
                yield found.added(first[0], first, now).added(second[0], second, now)

    def _with_transport(self, found: Found) -> Iterator[Found]:
        """The set with a mistake exchanged for an alike one, and one in the errors passed back."""
        stage = len(found.left) - 1
        carried = [m for m in self.catalogue.mistakes if m.part.kind == "carry" and not m.step]
        for place, like in enumerate(found.like):
            for own in like[:_EXCHANGED] if found.left[stage] else ():
                rest = (*found.parts[:place], own, *found.parts[place + 1 :])
                for mistake in carried if own != found.parts[place] else ():
                    left, probe = found.left[stage], self.stages[stage]
                    now = None if self.is_over else self._fewer(rest, mistake, left, probe)
                    if now is not None:
                        yield replace(found, parts=rest).added(mistake, (mistake,), now)

    def _refuting(self, found: Found) -> Probe | None:
        """A problem at which the set does not give what it gives at all stages."""
        given = self.all & ~found.blocks_left
        others = sorted((p for p in self.probes if p not in self.stages), key=lambda p: p.cost)
        wrong = (p for p in others if not_given(self.catalogue, found.parts, p, given) & given)
        return next(wrong, None) if given and found.parts else None

    def _needed(self, found: Found) -> Found:
        """The set without the mistakes that give no block which is given at all its stages."""
        evidence = Evidence(self.catalogue, self.stages[: len(found.left)])
        return found.only(evidence.needed(found.parts, self.all & ~found.blocks_left))

    def _best(self, found: Iterable[Found]) -> list[Found]:
        """The sets that leave fewest blocks, of these the smallest and likeliest."""
        sets: dict[frozenset[Mistake], Found] = {}
        for each in sorted(found, key=self._order):
            sets.setdefault(frozenset(each.parts), each)
        return [*sets.values()][:_KEPT]

    def _order(self, found: Found) -> tuple[int, int, int]:
        blocks = sum(left.bit_count() for left in found.left)
        return blocks, len(found.parts), sum(m.rank for m in found.parts)

    def _fewer(self, parts: Mistakes, mistake: Mistake, left: int, probe: Probe) -> int | None:
        """The blocks that these mistakes and one more leave, if only some of those in `left`."""
        if not combine(parts, mistake):
            return None
        now = self._left((*parts, mistake), probe)
        return None if now == left or now & ~left else now

    def _left(self, parts: Mistakes, probe: Probe) -> int:
        if not parts:
            return probe.wrong
        return probe.left(parts, self._gives(parts, probe), first=True)

    def _gives(self, parts: Mistakes, probe: Probe) -> Gradients | None:
        """What these mistakes give; a single one's is kept, at the problems asked most often."""
        if len(parts) == 1 and probe in self.stages[:3]:
            return self.catalogue.kept(parts[0], probe.problem)
        return self.catalogue.of(parts, probe.problem)

    def _effect(self, mistake: Mistake, stage: int) -> int | None:
        key = mistake, stage
        if key not in self._effects:
            probe = self.stages[stage]
            self._effects[key] = probe.effect(self._gives((mistake,), probe))
        return self._effects[key]

    def _outcome(self, mistake: Mistake, stage: int) -> bytes:
        probe = self.stages[stage]
        found = self.catalogue.kept(mistake, probe.problem)
        assert found is not None  # it has an effect
        with np.errstate(all="ignore"):
            return b"".join((np.float32(found[n]) + 0).tobytes() for n in probe.answer)  # -0 is 0


def combine(parts: Mistakes, mistake: Mistake) -> bool:
    """Whether a mistake can be made together with these."""
    return all(mistake + part for part in parts)
