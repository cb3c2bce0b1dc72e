"""Name the mistakes of a backward pass: run the derived catalogue on the problems it answered.

An explanation must give the candidate's answer to every problem, to within rounding: no guesses.
If no mistake does, sets of mistakes are tried, which may explain some of the gradients only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt_check.catalogue.altered_forward import forward_mistakes
from bptt_check.catalogue.answers import answer_mistakes, clipped
from bptt_check.catalogue.contributions import edge_mistakes
from bptt_check.catalogue.other_values import value_mistakes
from bptt_check.catalogue.paths import path_mistakes
from bptt_check.catalogue.probe import Probe
from bptt_check.catalogue.sets import Found, Search, in_stages
from bptt_check.catalogue.sums_and_states import sum_mistakes, time_mistakes
from bptt_check.error_bound.bound import Reference
from bptt_check.networks.network import Array, Network
from bptt_check.networks.problems import Problem
from bptt_check.tracing.reverse import Edge, Gradients, Graph, Mistake
from bptt_check.tracing.step import Step
from bptt_check.tracing.tape import record, record_template


@dataclass
class Asked:
    """A problem, a candidate's answer to it (some of the gradients), and the right gradients."""

    problem: Problem
    answer: Mapping[str, Array]
    right: Reference


@dataclass(frozen=True)
class Explanation:
    """Mistakes that together give the blocks `explains` of every answer.

    `also`: descriptions of one mistake that no problem distinguishes from it. `left`: the wrong
    blocks that they do not give. `one_step`: only the problems of one step are explained.
    """

    mistakes: tuple[Mistake, ...]
    also: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    one_step: bool = False

    @property
    def sentence(self) -> str:
        """All mistakes in one line."""
        return "; and ".join(mistake.sentence for mistake in self.mistakes)


class Catalogue:
    """The mistakes of a network; recorded tapes are kept for the next candidate."""

    def __init__(self, network: Network, fixed: Mapping[str, int] | None = None) -> None:
        self.network = network
        self.template = record_template(network, fixed)
        self.step = step = Step(self.template)
        self.mistakes = [
            *answer_mistakes(self.template),
            *sum_mistakes(step),
            *time_mistakes(step),
            *edge_mistakes(step),
            *path_mistakes(step),
            *value_mistakes(step),
            *forward_mistakes(step),
        ]
        self.graphs: dict[int, tuple[Problem, Graph]] = {}
        self._kept: dict[tuple[int, int], Gradients | None] = {}
        self._reached: dict[frozenset[Edge], set[str]] = {}

    def graph(self, problem: Problem) -> Graph:
        """The tape of a problem, recorded once."""
        if id(problem) not in self.graphs:
            self.graphs[id(problem)] = problem, Graph(record(self.network, problem, self.template))
        return self.graphs[id(problem)][1]

    def probe(self, asked: Asked) -> Probe:
        """What compares an answer with a mistake's."""
        graph = self.graph(asked.problem)
        return Probe(asked.problem, asked.answer, asked.right, self.step, graph)

    def reach(self, mistake: Mistake) -> set[str]:
        """The arguments whose gradients a mistake can change."""
        other = mistake.final or mistake.forward or mistake.carry or mistake.weight
        if other or not mistake.edges:
            return set(self.template.arguments)
        edges = frozenset(mistake.edges)
        if edges not in self._reached:
            touched = self.graph(self.template.problem).touched(edges)
            names = {name for name, index in self.template.arguments.items() if index in touched}
            self._reached[edges] = names
        return self._reached[edges]

    def kept(self, mistake: Mistake, problem: Problem) -> Gradients | None:
        """As `of`, computed once: of a mistake of the catalogue, and of a problem asked again."""
        key = id(mistake), id(problem)
        if key not in self._kept:
            self._kept[key] = self.of(mistake, problem)
        return self._kept[key]

    def of(self, mistake: Mistake, problem: Problem) -> Gradients | None:
        """The gradients with this mistake; None if the mistake cannot be made at the problem."""
        graph = self.graph(problem)
        try:
            with np.errstate(all="ignore"):
                return graph.gradients(mistake)
        except (ValueError, IndexError, KeyError, RuntimeError, TypeError):
            return None


def name_mistakes(
    asked: Sequence[Asked], catalogue: Catalogue, sets: bool = True
) -> list[Explanation]:
    """The mistake that gives the candidate's answers to all problems, else a set of mistakes.

    The likeliest mistake comes first; the others, which no problem distinguishes from it, are its
    `also`. A set may leave some wrong blocks: then what a set explains at the problems of one step
    follows, if that is more. The list is empty if nothing is explained. `sets`: try them.
    """
    wide = [a for a in asked if a.problem.dtype == "float64"] or list(asked)
    probes = [catalogue.probe(a) for a in wide]
    if not any(probe.wrong for probe in probes):
        return []
    singles = _clips(wide, probes, catalogue) or _singles(probes, catalogue)
    if singles:
        singles.sort(key=lambda m: (m.rank, len(m.sentence)))
        first, *others = singles
        also = dict.fromkeys(m.sentence for m in others if m.sentence != first.sentence)
        return [Explanation((first,), tuple(also), _wrong(probes))]
    if not sets or all(_is_close(a) for a in wide):
        return []
    return _sets(probes, catalogue)


def _clips(wide: list[Asked], probes: list[Probe], catalogue: Catalogue) -> list[Mistake]:
    """Clips of right gradients, to any size."""
    rights = [{n: a.right.gradients[n] for n in a.answer} for a in wide]
    tape, found = catalogue.template, []
    with np.errstate(all="ignore"):
        for clip in clipped([dict(a.answer) for a in wide], rights, tape):
            final: Any = clip.final
            clips = (final(tape, right) for right in rights)
            if not any(p.differs(clip) for p, clip in zip(probes, clips, strict=True)):
                found.append(clip)
    return found


def _singles(probes: list[Probe], catalogue: Catalogue) -> list[Mistake]:
    """The mistakes that give all answers; those in the forward pass, which cost more, come last."""
    stages = in_stages(probes)
    order = [*stages, *sorted((p for p in probes if p not in stages), key=lambda p: p.cost)]
    wrong = {label.partition(",")[0].removeprefix("d") for label in _wrong(probes)}
    told = next(number for number, probe in enumerate(order) if probe.wrong)
    for of_the_forward_pass in (False, True):
        found = [
            m
            for m in catalogue.mistakes
            if bool(m.forward) == of_the_forward_pass and wrong <= catalogue.reach(m)
        ]
        for number, probe in enumerate(order):
            of = catalogue.kept if probe in stages else catalogue.of
            found = [
                m for m in found if not probe.left(m, of(m, probe.problem), first=number <= told)
            ]
        if found:
            return found
    return []


def _wrong(probes: Sequence[Probe]) -> tuple[str, ...]:
    """The blocks that are wrong at a problem."""
    return tuple(
        label
        for number, label in enumerate(probes[0].labels)
        if any(probe.wrong >> number & 1 for probe in probes)
    )


def _sets(probes: list[Probe], catalogue: Catalogue) -> list[Explanation]:
    """What sets of mistakes explain: of every answer; of those at one step, if that is more."""
    search = Search(catalogue, probes)
    *one_step, every = [Found(), *search.run()]
    wrong, labels = _wrong(probes), probes[0].labels
    found, given = [], search.given(every, probes)
    if every.parts and (explains := _labelled(labels, given, wrong)):
        left = tuple(label for label in wrong if label not in explains)
        found.append(_explanation(every, catalogue, explains, left))
    for shorter in one_step[1:] if given != probes[0].all else ():
        short = [p for p in probes if p.problem.sizes["time"] == 1]
        explains = _labelled(labels, search.given(shorter, short) & ~given, _wrong(short))
        if explains:
            found.append(replace(_explanation(shorter, catalogue, explains, ()), one_step=True))
    return found


def _explanation(
    found: Found, catalogue: Catalogue, explains: tuple[str, ...], left: tuple[str, ...]
) -> Explanation:
    mistakes = tuple(catalogue.mistakes[number] for number in found.parts)
    return Explanation(mistakes, (), explains, left)


def _labelled(labels: Sequence[str], given: int, wrong: Sequence[str]) -> tuple[str, ...]:
    """The wrong blocks among those that are given."""
    return tuple(n for i, n in enumerate(labels) if given >> i & 1 and n in wrong)


def _is_close(a: Asked) -> bool:
    """Whether the answer is right to within 1e-5 of the largest entries."""
    return all(
        bool((abs(g - right) <= 1e-5 * abs(right).max(initial=0)).all())
        for g, right in ((g, a.right.gradients[n]) for n, g in a.answer.items())
    )
