"""Which mistake a backward pass makes: the derived catalogue, run on the problems it was asked.

An explanation must give the candidate's answer on every problem, to within rounding: never a guess.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_torch.catalogue.altered_forward import forward_mistakes, initial_nodes
from rnn_torch.catalogue.answers import answer_mistakes
from rnn_torch.catalogue.contributions import edge_mistakes
from rnn_torch.catalogue.paths import path_mistakes
from rnn_torch.catalogue.sums_and_states import sum_mistakes, time_mistakes
from rnn_torch.error_bound.bound import Reference
from rnn_torch.networks.network import Array, Network
from rnn_torch.networks.problems import Problem, designed
from rnn_torch.tracing.reverse import Gradients, Graph, Mistake
from rnn_torch.tracing.step import Step
from rnn_torch.tracing.tape import record


@dataclass
class Asked:
    """A problem, a candidate's answer to it (a subset of the gradients), and what is right."""

    problem: Problem
    answer: Mapping[str, Array]
    right: Reference


@dataclass(frozen=True)
class Explanation:
    """A mistake that explains every answer, and its line; `also`: the same, said otherwise."""

    sentence: str
    where: str
    also: tuple[str, ...] = ()


#: Not a mistake of the catalogue, and not a guess: what the numbers are.
_APPROXIMATE = Explanation(
    "every answer is right to within 1e-5 of its largest entry, but not to within rounding: "
    "a lower precision inside, or a finite difference",
    "",
)


#: So many pairs of two are tried at most.
_MOST_PAIRS = 4000


class Catalogue:
    """Every mistake of a network, and what each does on a problem, kept for the next candidate."""

    def __init__(self, network: Network, fixed: Mapping[str, int] | None = None) -> None:
        self.network = network
        any_time = {name: size for name, size in (fixed or {}).items() if name != "time"}
        self.like = record(network, designed(network, fixed=any_time)[0])
        step = Step(self.like)
        initial = initial_nodes(step)
        self.initial_states = {n for n, i in self.like.arguments.items() if i in initial}
        self.mistakes = [
            *answer_mistakes(self.like),
            *sum_mistakes(step),
            *time_mistakes(step),
            *edge_mistakes(step),
            *path_mistakes(step),
            *forward_mistakes(step),
        ]
        self.graphs: dict[int, tuple[Problem, Graph]] = {}

    def graph(self, problem: Problem) -> Graph:
        """The tape of a problem, recorded once."""
        if id(problem) not in self.graphs:
            self.graphs[id(problem)] = problem, Graph(record(self.network, problem, self.like))
        return self.graphs[id(problem)][1]

    def reach(self, mistake: Mistake) -> set[str]:
        """The arguments whose gradients altered contributions can change."""
        graph = self.graph(self.like.problem)
        touched = graph.touched(frozenset(mistake.edges))
        return {name for name, index in self.like.arguments.items() if index in touched}

    def of(self, mistake: Mistake, problem: Problem) -> Gradients | None:
        """What a pass with this mistake answers; None: the mistake cannot be made there."""
        graph = self.graph(problem)
        try:
            with np.errstate(all="ignore"):
                return graph.gradients(mistake)
        except (ValueError, IndexError, KeyError, RuntimeError, TypeError):
            return None


def name_mistakes(
    asked: Sequence[Asked], catalogue: Catalogue, pairs: bool = True
) -> list[Explanation]:
    """Every mistake, else every pair of two, that gives the candidate's answers on all problems.

    The likeliest first; explanations that no problem tells apart are folded into `also`. None
    found: the empty list, no guess is made.
    """
    wide = [a for a in asked if a.problem.dtype == "float64"] or list(asked)
    wrong = [a for a in wide if not _same(a, a.right.gradients)]
    if not wrong:
        return []
    found = _singles(wide, wrong, catalogue)
    if not found and pairs:
        found = _pairs(wide, wrong, catalogue)
    if not found:
        return [_APPROXIMATE] if all(_close(a, a.right.gradients, 1e-5) for a in wide) else []
    found.sort(key=lambda m: (m.rank, len(m.sentence)))
    first = found[0]
    also = dict.fromkeys(m.sentence for m in found[1:] if m.sentence != first.sentence)
    return [Explanation(first.sentence, first.where, tuple(also))]


def _cost(a: Asked) -> int:
    return a.problem.sizes.get("time", 1) * sum(v.size for v in a.problem.values.values())


def _singles(wide: list[Asked], wrong: list[Asked], catalogue: Catalogue) -> list[Mistake]:
    order = sorted(wrong, key=lambda a: (a.problem.sizes.get("time", 1) < 2, _cost(a)))
    order += [a for a in sorted(wide, key=_cost) if not any(a is b for b in wrong)]
    touched = {n for a in wrong for n in a.answer if not _same_one(a, n, a.right.gradients)}
    for of_the_forward_pass in (False, True):  # which costs more, and is said last
        found = [
            m
            for m in catalogue.mistakes
            if bool(m.forward) == of_the_forward_pass and touched <= _reach(m, catalogue)
        ]
        for number, a in enumerate(order):
            near = np.inf if number else 1e-9
            found = [m for m in found if _behaves_like(a, m, catalogue, near)]
        if found:
            return found
    return []


def _reach(mistake: Mistake, catalogue: Catalogue) -> set[str]:
    """Which gradients a mistake can change at all."""
    alone = not (mistake.final or mistake.forward or mistake.carry or mistake.weight)
    if mistake.edges and alone:
        return catalogue.reach(mistake)
    return set(catalogue.like.arguments)


def _behaves_like(
    a: Asked, mistake: Mistake, catalogue: Catalogue, near: int | float = np.inf
) -> bool:
    """Whether this mistake gives this answer, to within rounding.

    A mistake may amplify rounding (a division by 1 - h^2): then it has a noise floor of its own,
    which is measured if the answer is as `near` as that share of the largest entry.
    """
    like = catalogue.of(mistake, a.problem)
    if like is None or any(np.shape(like[n]) != np.shape(g) for n, g in a.answer.items()):
        return False
    if _same(a, like):
        return True
    if not _close(a, like, near):
        return False
    floor = noise_floor(catalogue.graph(a.problem), mistake, like)
    with np.errstate(all="ignore"):
        return all(
            bool(((abs(g - like[n]) <= floor[n]) | np.isinf(floor[n])).all())
            for n, g in a.answer.items()
        )


def _same_one(a: Asked, name: str, like: Gradients, got: Mapping[str, Array] | None = None) -> bool:
    """Whether one gradient is `like`'s, to within rounding; larger gradients round more."""
    right, bound = a.right.gradients[name], a.right.bounds[name]
    with np.errstate(all="ignore"):
        scale = abs(like[name]).max(initial=0) / max(abs(right).max(initial=0), 1e-300)
        allowed = 2 * bound * max(1.0, scale)
        return bool((abs(a.answer[name] - like[name]) <= allowed).all())


def _same(a: Asked, like: Gradients) -> bool:
    return all(_same_one(a, name, like) for name in a.answer)


def _close(a: Asked, like: Gradients, share: int | float) -> bool:
    with np.errstate(all="ignore"):
        far = [abs(g - like[n]) > share * abs(like[n]).max(initial=0) for n, g in a.answer.items()]
    return not any(f.any() for f in far)


def noise_floor(
    graph: Graph, mistake: Mistake, like: Gradients, unit: float = float(np.finfo(float).eps)
) -> Gradients:
    """How far rounding may move an answer with this mistake; infinite: it decides the answer.

    `unit`: of the dtype that the answer is computed in.
    """
    size, worst = 2.0**-26, {n: np.zeros_like(v) for n, v in like.items()}
    with np.errstate(all="ignore"):
        for seed in range(4):
            moved = graph.gradients(mistake, (np.random.default_rng(seed), size))
            for n in worst:
                worst[n] = np.maximum(worst[n], abs(moved[n] - like[n]) / size)
    floors = {
        n: 64 * unit * np.maximum(np.maximum(w, w.mean()), abs(like[n])) for n, w in worst.items()
    }
    return {n: np.where(np.isnan(f), np.inf, f) for n, f in floors.items()}


def _pairs(wide: list[Asked], wrong: list[Asked], catalogue: Catalogue) -> list[Mistake]:
    """Pairs, one of which explains a part of what is wrong on a small problem alone."""
    by_cost = sorted(wrong, key=_cost)
    first = next((a for a in by_cost if a.problem.sizes.get("time", 1) > 1), by_cost[0])
    probes = [*[a for a in by_cost if a.problem.sizes.get("time", 1) == 1][:1], first]
    rest = sorted((a for a in wide if not any(a is p for p in probes)), key=_cost)
    outcomes = [(m, [_outcome(a, m, catalogue) for a in probes]) for m in catalogue.mistakes]
    known = [(m, [o for o in each if o]) for m, each in outcomes]
    known = [(m, its) for m, its in known if len(its) == len(probes)]
    shares = np.array([max(map(_explained, probes, its)) for _, its in known])
    left = np.array([_unlike(probes, [a.answer for a in probes], its) for _, its in known])
    right = [a.right.gradients for a in probes]
    touched = np.array([_unlike(probes, right, its) for _, its in known])
    usable = np.array([m.forward is None for m, _ in known])
    seen, tried = set(), 0
    for i in np.argsort(-shares, kind="stable"):
        if shares[i] < 0.02 or (key := left[i].tobytes() + touched[i].tobytes()) in seen:
            continue
        seen.add(key)
        # The other touches all that is still unexplained; if nothing is, it is not seen here.
        fits = ~(left[i] & ~touched).any(1) if left[i].any() else ~touched.any(1)
        found = []
        for k in np.flatnonzero(fits & usable):
            pair, tried = known[i][0] + known[k][0], tried + 1
            if pair and all(_behaves_like(a, pair, catalogue, 1e-9) for a in probes):
                found += [pair] * all(_behaves_like(a, pair, catalogue) for a in rest)
        if found or tried > _MOST_PAIRS:
            return found
    return []


def _unlike(asked: list[Asked], ones: list[Any], others: list[Gradients]) -> Array:
    """Which entries of the answers differ by more than rounding, side by side."""
    with np.errstate(all="ignore"):
        parts = [
            ~(abs(one[n] - other[n]) <= 2 * a.right.bounds[n]).ravel()
            for a, one, other in zip(asked, ones, others, strict=True)
            for n in a.answer
        ]
    return np.concatenate(parts)


def _outcome(a: Asked, mistake: Mistake, catalogue: Catalogue) -> Gradients | None:
    like = catalogue.of(mistake, a.problem)
    fits = like and all(np.shape(like[n]) == np.shape(g) for n, g in a.answer.items())
    return like if fits else None


def _explained(a: Asked, like: Gradients) -> float:
    """How much of what is wrong is as in `like`: a share of entries."""
    wrong = same = 0
    with np.errstate(all="ignore"):
        for n, g in a.answer.items():
            bound = 2 * a.right.bounds[n]
            bad = ~(abs(g - a.right.gradients[n]) <= bound)
            wrong += int(bad.sum())
            same += int((bad & (abs(g - like[n]) <= bound)).sum())
    return same / max(1, wrong)
