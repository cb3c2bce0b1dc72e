"""Name the mistake of a backward pass: run the derived catalogue on the problems it answered.

An explanation must give the candidate's answer to every problem, to within rounding: no guesses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bptt_check.catalogue.altered_forward import forward_mistakes, value_mistakes
from bptt_check.catalogue.answers import answer_mistakes, clipped
from bptt_check.catalogue.contributions import edge_mistakes
from bptt_check.catalogue.paths import path_mistakes
from bptt_check.catalogue.sums_and_states import sum_mistakes, time_mistakes
from bptt_check.catalogue.words import sentence
from bptt_check.error_bound.bound import Reference
from bptt_check.networks.network import Array, Network
from bptt_check.networks.problems import Problem
from bptt_check.tracing.changes import finished, gradients, scale
from bptt_check.tracing.mistakes import Mistake, Mistakes
from bptt_check.tracing.reverse import Gradients, Graph
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
    """Mistakes that give every answer, their source line, and equivalent mistakes (`also`)."""

    sentence: str
    where: str
    also: tuple[str, ...] = ()
    mistakes: Mistakes = ()


#: Describes the numbers; it is no mistake of the catalogue.
APPROXIMATE = Explanation(
    "every answer is right to within 1e-5 of its largest entry, but not to within rounding: "
    "a lower precision inside, or a finite difference",
    "",
)


#: Pairs of mistakes tried at most.
_MOST_PAIRS = 4000


class Catalogue:
    """The mistakes of a network; recorded tapes are kept for the next candidate."""

    def __init__(self, network: Network, fixed: Mapping[str, int] | None = None) -> None:
        self.network = network
        self.template = record_template(network, fixed)
        step = Step(self.template)
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
        self._kept: dict[tuple[Mistake, int], Gradients | None] = {}

    def graph(self, problem: Problem) -> Graph:
        """The tape of a problem, recorded once."""
        if id(problem) not in self.graphs:
            self.graphs[id(problem)] = problem, Graph(record(self.network, problem, self.template))
        return self.graphs[id(problem)][1]

    def reach(self, mistake: Mistake) -> set[str]:
        """The arguments whose gradients the mistake's altered contributions can change."""
        touched = self.graph(self.template.problem).touched(frozenset(mistake.part.edges))
        return {name for name, index in self.template.arguments.items() if index in touched}

    def kept(self, mistake: Mistake, problem: Problem) -> Gradients | None:
        """As `of`, computed once: of a mistake of the catalogue, and of a problem asked again."""
        key = mistake, id(problem)
        if key not in self._kept:
            self._kept[key] = self.of((mistake,), problem)
        return self._kept[key]

    def of(self, mistakes: Mistakes, problem: Problem) -> Gradients | None:
        """The gradients with these mistakes; None if they cannot be made at the problem."""
        graph = self.graph(problem)
        try:
            with np.errstate(all="ignore"):
                return gradients(graph, *mistakes)
        except (ValueError, IndexError, KeyError, RuntimeError, TypeError):
            return None


def name_mistakes(
    asked: Sequence[Asked], catalogue: Catalogue, pairs: bool = True
) -> list[Explanation]:
    """The mistakes, else the pairs of mistakes, that give the candidate's answers to all problems.

    The likeliest comes first; the others, which no problem distinguishes from it, are its `also`.
    The list is empty if no mistake and no pair fits.
    """
    wide = [a for a in asked if a.problem.dtype == "float64"] or list(asked)
    wrong = [a for a in wide if not _equals(a, a.right.gradients)]
    if not wrong:
        return []
    found = _clips(wide, catalogue) or [(m,) for m in _singles(wide, wrong, catalogue)]
    found = found or _scaled_singles(wide, catalogue)
    if not found and pairs:
        found = _pairs(wide, wrong, catalogue)
    if not found:
        close = all(_close(a, a.right.gradients, 1e-5) for a in wide)
        return [APPROXIMATE] if close else []
    said = [(sum(m.rank for m in each), sentence(*each), each) for each in found]
    said.sort(key=lambda each: (each[0], len(each[1])))
    _, first, mistakes = said[0]
    where = "; ".join(dict.fromkeys(m.where for m in mistakes if m.where))
    also = tuple(dict.fromkeys(text for _, text, _ in said if text != first))
    return [Explanation(first, where, also, mistakes)]


def _cost(a: Asked) -> int:
    return a.problem.sizes.get("time", 1) * sum(v.size for v in a.problem.values.values())


def _clips(wide: list[Asked], catalogue: Catalogue) -> list[Mistakes]:
    """Clips of right gradients, to any size."""
    rights = [{n: a.right.gradients[n] for n in a.answer} for a in wide]
    tape = catalogue.template
    found: list[Mistakes] = []
    with np.errstate(all="ignore"):
        for clip in clipped([dict(a.answer) for a in wide], rights, tape):
            if all(_equals(a, finished(clip, tape, r)) for a, r in zip(wide, rights, strict=True)):
                found.append((clip,))
    return found


def _singles(wide: list[Asked], wrong: list[Asked], catalogue: Catalogue) -> list[Mistake]:
    order = sorted(wrong, key=lambda a: (a.problem.sizes.get("time", 1) < 2, _cost(a)))
    order += [a for a in sorted(wide, key=_cost) if not any(a is b for b in wrong)]
    touched = {n for a in wrong for n in a.answer if not _equals_one(a, n, a.right.gradients)}
    for of_the_forward_pass in (False, True):  # altered forward passes cost more: last
        found = [
            m
            for m in catalogue.mistakes
            if m.forward == of_the_forward_pass and touched <= _reach(m, catalogue)
        ]
        for number, a in enumerate(order):
            tolerance = np.inf if number else 1e-9
            found = [m for m in found if _behaves_like(a, (m,), catalogue, tolerance, not number)]
        if found:
            return found
    return []


def _scaled_singles(wide: list[Asked], catalogue: Catalogue) -> list[Mistakes]:
    """A mistake in all gradients' common factor, and one more."""
    for mistake in catalogue.mistakes:
        factors = [f for a in wide if (f := scale(mistake, a.problem.sizes)) is not None]
        if not factors:
            continue
        shown = [a for f, a in zip(factors, wide, strict=True) if f != 1]
        if not shown or any(map(_is_right_not_zero, shown)):
            continue
        undone = [
            replace(a, answer={n: g / f for n, g in a.answer.items()})
            for f, a in zip(factors, wide, strict=True)
        ]
        wrong = [a for a in undone if not _equals(a, a.right.gradients)]
        singles = _singles(undone, wrong, catalogue) if wrong else []
        both = [pair for m in singles if m.part.kind != "answer" and (pair := mistake + m)]
        if both:
            return both
    return []


def _is_right_not_zero(a: Asked) -> bool:
    """Whether a factor in all gradients would have been noticed here."""
    return _equals(a, a.right.gradients) and any(g.any() for g in a.answer.values())


def _reach(mistake: Mistake, catalogue: Catalogue) -> set[str]:
    """The gradients that a mistake can change."""
    if mistake.part.edges and not mistake.part.states:
        return catalogue.reach(mistake)
    return set(catalogue.template.arguments)


def _behaves_like(
    a: Asked,
    mistakes: Mistakes,
    catalogue: Catalogue,
    tolerance: int | float = np.inf,
    keep: bool = False,
) -> bool:
    """Whether these mistakes give this answer, to within rounding.

    A mistake may amplify rounding (a division by 1 - h^2). Its own noise floor is therefore
    measured if the answer is within the share `tolerance` of the largest entry.
    """
    find: Any = catalogue.kept if keep else catalogue.of
    imitation = find(mistakes[0] if keep else mistakes, a.problem)
    if imitation is None or any(np.shape(imitation[n]) != np.shape(g) for n, g in a.answer.items()):
        return False
    if not all(np.isfinite(imitation[n]).all() for n in a.answer):
        return False  # the candidate's answer is finite
    if _equals(a, imitation):
        return True
    if not _close(a, imitation, tolerance):
        return False
    unit = float(np.finfo(a.problem.dtype).eps)
    floor = noise_floor(catalogue.graph(a.problem), mistakes, imitation, unit)
    first = tolerance < np.inf  # rounding alone may decide an answer, but not every one
    return all(
        bool((abs(g - imitation[n]) <= floor[n]).all() and np.isfinite(floor[n]).all() >= first)
        for n, g in a.answer.items()
    )


def _equals_one(a: Asked, name: str, imitation: Gradients) -> bool:
    """Whether one gradient equals the imitation's; the bound grows with the imitation's size."""
    right, bound = a.right.gradients[name], a.right.bounds[name]
    with np.errstate(all="ignore"):
        scale = abs(imitation[name]).max(initial=0) / max(abs(right).max(initial=0), 1e-300)
        allowed = 2 * bound * max(1.0, scale)
        return bool((abs(a.answer[name] - imitation[name]) <= allowed).all())


def _equals(a: Asked, imitation: Gradients) -> bool:
    return all(_equals_one(a, name, imitation) for name in a.answer)


def _close(a: Asked, imitation: Gradients, share: int | float) -> bool:
    with np.errstate(all="ignore"):
        apart = [
            abs(g - imitation[n]) > share * abs(imitation[n]).max(initial=0)
            for n, g in a.answer.items()
        ]
    return not any(f.any() for f in apart)


def noise_floor(graph: Graph, mistakes: Mistakes, imitation: Gradients, unit: float) -> Gradients:
    """How far rounding may move an answer with these mistakes; infinite if it becomes NaN.

    `unit`: unit roundoff of the dtype that the answer is computed in.
    """
    size, worst = 2.0**-26, {n: np.zeros_like(v) for n, v in imitation.items()}
    with np.errstate(all="ignore"):
        for seed in range(4):
            noise = np.random.default_rng(seed), size
            moved = gradients(graph, *mistakes, noise=noise)
            for n in worst:
                worst[n] = np.maximum(worst[n], abs(moved[n] - imitation[n]) / size)
    floors = {
        n: 64 * unit * np.maximum(np.maximum(w, w.mean()), abs(imitation[n]))
        for n, w in worst.items()
    }
    return {n: np.where(np.isnan(f), np.inf, f) for n, f in floors.items()}


def _pairs(wide: list[Asked], wrong: list[Asked], catalogue: Catalogue) -> list[Mistakes]:
    """Pairs of mistakes one of which alone explains some wrong entries of a small problem."""
    by_cost = sorted(wrong, key=_cost)
    first = next((a for a in by_cost if a.problem.sizes.get("time", 1) > 1), by_cost[0])
    probes = [*[a for a in by_cost if a.problem.sizes.get("time", 1) == 1][:1], first]
    rest = sorted((a for a in wide if not any(a is p for p in probes)), key=_cost)
    outcomes = [(m, [_outcome(a, m, catalogue) for a in probes]) for m in catalogue.mistakes]
    usable = [(m, [o for o in found if o]) for m, found in outcomes]
    usable = [(m, found) for m, found in usable if len(found) == len(probes)]
    shares = np.array([max(map(_explained, probes, found)) for _, found in usable])
    left = np.array([_unequal(probes, [a.answer for a in probes], found) for _, found in usable])
    right = [a.right.gradients for a in probes]
    touched = np.array([_unequal(probes, right, found) for _, found in usable])
    backward = np.array([not m.forward for m, _ in usable])
    keys, tried = set(), 0
    for i in np.argsort(-shares, kind="stable"):
        if shares[i] < 0.02 or (key := left[i].tobytes() + touched[i].tobytes()) in keys:
            continue
        keys.add(key)
        # The second mistake must change all entries that the first leaves wrong, or, if it leaves
        # none, no entry of the probes.
        partners = ~(left[i] & ~touched).any(1) if left[i].any() else ~touched.any(1)
        found = []
        for k in np.flatnonzero(partners & backward):
            pair, tried = usable[i][0] + usable[k][0], tried + 1
            if pair and all(_behaves_like(a, pair, catalogue, 1e-9) for a in probes):
                found += [pair] * _holds_at(rest, pair, catalogue)
        if found or tried > _MOST_PAIRS:
            return found
    return []


def _holds_at(asked: list[Asked], mistakes: Mistakes, catalogue: Catalogue) -> bool:
    """Whether a mistake gives all answers; a problem that refutes it is asked first next time."""
    for index, a in enumerate(asked):
        if not _behaves_like(a, mistakes, catalogue):
            asked.insert(0, asked.pop(index))
            return False
    return True


def _unequal(asked: list[Asked], left: list[Any], right: list[Gradients]) -> Array:
    """For each entry of the answers, whether both sides differ by more than rounding."""
    with np.errstate(all="ignore"):
        parts = [
            ~(abs(g[n] - h[n]) <= 2 * a.right.bounds[n]).ravel()
            for a, g, h in zip(asked, left, right, strict=True)
            for n in a.answer
        ]
    return np.concatenate(parts)


def _outcome(a: Asked, mistake: Mistake, catalogue: Catalogue) -> Gradients | None:
    imitation = catalogue.kept(mistake, a.problem)
    valid = imitation and all(np.shape(imitation[n]) == np.shape(g) for n, g in a.answer.items())
    return imitation if valid else None


def _explained(a: Asked, imitation: Gradients) -> float:
    """The share of the wrong entries that equal the imitation's."""
    wrong = equal = 0
    with np.errstate(all="ignore"):
        for n, g in a.answer.items():
            bound = 2 * a.right.bounds[n]
            bad = ~(abs(g - a.right.gradients[n]) <= bound)
            wrong += int(bad.sum())
            equal += int((bad & (abs(g - imitation[n]) <= bound)).sum())
    return equal / max(1, wrong)
