"""Name the mistakes of a backward pass: run the derived catalogue on the problems it answered.

An explanation must give the candidate's answer to every problem, to within rounding: no guesses.
If no mistake does, sets of mistakes are tried, which may explain some of the gradients only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np

from bptt_check.catalogue.answers import clipped
from bptt_check.catalogue.derived import Catalogue
from bptt_check.catalogue.words import sentence
from bptt_check.error_bound.bound import Reference
from bptt_check.naming.evidence import Evidence, likeliest
from bptt_check.naming.probe import Probe
from bptt_check.naming.sets import Found, Search, in_stages
from bptt_check.networks.network import Array
from bptt_check.networks.problems import Problem
from bptt_check.tracing.changes import finished
from bptt_check.tracing.mistakes import Mistake, Mistakes


@dataclass
class Asked:
    """A problem, a candidate's answer to it (some of the gradients), and the right gradients."""

    problem: Problem
    answer: Mapping[str, Array]
    right: Reference


@dataclass(frozen=True)
class Explanation:
    """Mistakes that together give the blocks `explains` of every answer.

    A block is a gradient, or a gate of it. `also`: descriptions of one mistake that no problem
    distinguishes from it. `left`: the wrong blocks that no explanation gives. `one_step`: only the
    answers to problems of one step are given.
    """

    mistakes: Mistakes
    also: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    one_step: bool = False

    @property
    def sentence(self) -> str:
        """All mistakes in one line."""
        return sentence(*self.mistakes)


def name_mistakes(
    asked: Sequence[Asked], catalogue: Catalogue, sets: bool = True
) -> list[Explanation]:
    """The mistake that gives the candidate's answers to all problems, else a set of mistakes.

    The likeliest mistake comes first; the others, which no problem distinguishes from it, are its
    `also`. A set may leave some wrong blocks: then what a set explains at the problems of one step
    follows, if that is more. The list is empty if nothing is explained. `sets`: try them.
    """
    wide = [a for a in asked if a.problem.dtype == "float64"] or list(asked)
    probes = [_probe(a, catalogue) for a in wide]
    if not any(probe.wrong for probe in probes):
        return []
    singles = _clips(wide, probes, catalogue) or _singles(probes, catalogue)
    if singles:
        first, *others = sorted(singles, key=likeliest)
        is_layer = bool(catalogue.template.network.outputs)  # whose products have no line to cite
        also = dict.fromkeys(sentence(m) for m in others if m.where or not is_layer)
        also.pop(sentence(first), None)
        return [Explanation((first,), tuple(also), labelled(probes[0], _wrong(probes)))]
    if not sets or all(_is_close(a) for a in wide):
        return []
    return _sets(probes, catalogue)


def _probe(a: Asked, catalogue: Catalogue) -> Probe:
    return Probe(a.problem, a.answer, a.right, catalogue.step, catalogue.graph(a.problem))


def _clips(wide: list[Asked], probes: list[Probe], catalogue: Catalogue) -> list[Mistake]:
    """Clips of right gradients, to any size."""
    rights = [{n: a.right.gradients[n] for n in a.answer} for a in wide]
    tape, found = catalogue.template, []
    with np.errstate(all="ignore"):
        for clip in clipped([dict(a.answer) for a in wide], rights, tape):
            clips = (finished(clip, tape, right) for right in rights)
            if not any(p.differs(clip) for p, clip in zip(probes, clips, strict=True)):
                found.append(clip)
    return found


def _singles(probes: list[Probe], catalogue: Catalogue) -> list[Mistake]:
    """The mistakes that give all answers; those in the forward pass, which cost more, come last."""
    stages = in_stages(probes)
    order = [*stages, *sorted((p for p in probes if p not in stages), key=lambda p: p.cost)]
    wrong = probes[0].names_of(_wrong(probes))
    told = next(number for number, probe in enumerate(order) if probe.wrong)
    for of_the_forward_pass in (False, True):
        found = [
            m
            for m in catalogue.mistakes
            if m.forward == of_the_forward_pass and wrong <= catalogue.reach(m)
        ]
        for number, probe in enumerate(order):
            first, kept = number <= told, probe in stages
            found = [m for m in found if _gives_all(probe, m, catalogue, first, kept)]
        if found:
            return found
    return []


def _gives_all(probe: Probe, m: Mistake, catalogue: Catalogue, first: bool, kept: bool) -> bool:
    """Whether it gives the answer, and, where that is wrong, no right one."""
    found = catalogue.kept(m, probe.problem) if kept else catalogue.of((m,), probe.problem)
    if probe.left((m,), found, first=first):
        return False
    return not probe.wrong & ~(probe.effect(found) or 0)


def _wrong(probes: Sequence[Probe]) -> int:
    """The blocks that are wrong at a problem."""
    return reduce(or_, (probe.wrong for probe in probes))


def _sets(probes: list[Probe], catalogue: Catalogue) -> list[Explanation]:
    """What sets of mistakes explain: of every answer; of those at one step, if that is more."""
    *one_step, every = [Found(), *Search(catalogue, probes).run()]
    wrong, all_ = _wrong(probes), probes[0].all
    evidence = Evidence(catalogue, probes)
    parts, given = evidence.supported(every.parts, all_ & ~every.blocks_left)
    if wrong & ~given and (apart := _apart(parts, catalogue)) != parts:
        parts = evidence.needed(apart, given)
    explained = [(parts, wrong & given, False)]
    copies, blocks = _copies(probes, catalogue, wrong & ~given)
    explained.append((copies, blocks, False))
    given |= blocks
    for shorter in one_step[1:] if wrong & ~given else ():
        short = [p for p in probes if p.steps == 1]
        evidence = Evidence(catalogue, short, one_step=True)
        its = shorter.as_in(every).parts
        parts, at_one = evidence.supported(its, all_ & ~shorter.blocks_left)
        new = at_one & ~given & _wrong(short)
        explained.append((evidence.needed(parts, new), new, True))
    left = labelled(probes[0], wrong & ~given)
    return [
        Explanation(_merged(parts, catalogue), (), labelled(probes[0], blocks), left, at_one_step)
        for parts, blocks, at_one_step in explained
        if parts and blocks
    ]


def _apart(mistakes: Mistakes, catalogue: Catalogue) -> Mistakes:
    """A mistake in several places as one in each: a place whose gradient is left shows nothing."""
    found: Mistakes = ()
    in_one_place = [m for m in catalogue.mistakes if len(m.part.edges) == 1]
    for every in mistakes:
        found += _place_by_place(every, in_one_place) or (every,)
    return found


def _merged(mistakes: Mistakes, catalogue: Catalogue) -> Mistakes:
    """The same change in each of several places as the one mistake that it is in all of them."""
    for every in catalogue.mistakes:
        if its := _place_by_place(every, mistakes):
            mistakes = (every, *(m for m in mistakes if m not in its))
    return mistakes


def _place_by_place(every: Mistake, among: Iterable[Mistake]) -> Mistakes:
    """Those mistakes that are the same change in fewer places, if they are in all of its places."""
    edges, key = {*every.part.edges}, (every.part.kind, every.change, every.by, every.step)
    its = tuple(
        m for m in among if (m.part.kind, m.change, m.by, m.step) == key and {*m.part.edges} < edges
    )
    return its if {edge for m in its for edge in m.part.edges} == edges and len(its) > 1 else ()


def _copies(probes: Sequence[Probe], catalogue: Catalogue, blocks: int) -> tuple[Mistakes, int]:
    """The gradients of these blocks that are another gradient of the answer, and their blocks."""
    found: list[Mistake] = []
    its = probes[0].names_of(blocks)
    for mistake in catalogue.mistakes:
        if mistake.change == "another's" and mistake.part.kind == "answer":
            (name,), (other,) = mistake.part.names, mistake.by
            pairs = [(p.answer[name], p.answer.get(other)) for p in probes if name in p.answer]
            is_copy = all(other is not None and np.array_equal(own, other) for own, other in pairs)
            if name in its and is_copy and any(own.any() for own, _ in pairs):
                found.append(mistake)
                its -= {name, other}
    return tuple(found), probes[0].blocks_of([mistake.part.names[0] for mistake in found])


def labelled(probe: Probe, blocks: int) -> tuple[str, ...]:
    """These blocks; in place of all gates of a gradient the gradient."""
    whole = {n for n in probe.names_of(blocks) if not probe.blocks_of([n]) & ~blocks}
    its = zip(probe.names, probe.labels, strict=True)
    said = (f"d{name}" if name in whole else label for name, label in its)
    return tuple(dict.fromkeys(text for i, text in enumerate(said) if blocks >> i & 1))


def _is_close(a: Asked) -> bool:
    """Whether the answer is right to within 1e-5 of the largest entries."""
    return all(
        bool((abs(g - right) <= 1e-5 * abs(right).max(initial=0)).all())
        for g, right in ((g, a.right.gradients[n]) for n, g in a.answer.items())
    )
