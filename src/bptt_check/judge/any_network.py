"""The network that a backward pass is judged by: its problems, right gradients and mistakes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from bptt_check.candidate.calling import Form, Question
from bptt_check.catalogue import Catalogue, sentence
from bptt_check.error_bound import Reference, explodes, reference, with_floor
from bptt_check.judge.asking import (
    Answer,
    Ask,
    Asked,
    CannotCheck,
    Expected,
    Explanation,
    Mistake,
    Right,
    Vote,
    Where,
)
from bptt_check.judge.comparison import agrees, fractions, furthest, is_sharp
from bptt_check.judge.votes import Oracle, votes
from bptt_check.naming import Asked as Trial
from bptt_check.naming import name_mistakes, noise_floor
from bptt_check.networks import Network, Problem, drawn, general, in_turn, random
from bptt_check.networks.network import precision
from bptt_check.networks.soundness import is_causal
from bptt_check.tracing import locate
from bptt_check.tracing.changes import gradients as altered_gradients
from bptt_check.tracing.mistakes import Mistake as Altered
from bptt_check.tracing.mistakes import Part
from bptt_check.tracing.step import Step
from bptt_check.tracing.tape import Tape, record_template

_RANDOM_PROBLEMS = 12
_RANDOM_OF_A_LAYER = 3
_LONGEST = 8  # steps of these
_MOST_LOCATED = 3  # problems at which a pass is wrong, split by steps
_MOST_STEPS = 40  # of a problem that is split by steps, or voted on
_LARGEST_VOTE = 512  # weights: some oracles' cost grows with their square
#: A softmax by exp and sum overflows there: in nearly every textbook, and not in back-propagation.
_OVERFLOWS, _SOFTMAX = "an output beyond exp", ("_softmax", "_log_softmax", "logsumexp")
_WINDOWS = 30  # tried to explain a pass with another window


class AnyNetwork:
    """A network to judge backward passes by; it poses the same problems to each.

    Args:
        network: the network that the backward pass must differentiate.
        sizes: sizes of some axes, for a pass that takes only these.
        window: back-propagation truncated to this many steps is right.
        rate: the pass returns nothing, and subtracts this times the gradient from its inputs.

    Raises:
        ValueError: a size names no axis of the network, or is below 1; a window is given and a
            loss depends on later inputs.
        NotImplementedError: a rate is given and the network cannot be traced.
    """

    def __init__(
        self,
        network: Network,
        sizes: Mapping[str, int] | None = None,
        window: int | None = None,
        rate: float | None = None,
    ) -> None:
        self._posed: dict[tuple[str, ...], list[Any]] = {}
        self._own: dict[int, tuple[Problem, Reference | None]] = {}  # by a problem's identity
        self.oracles: Mapping[str, Oracle] = {}  # backward passes that vote, by method
        self.lists_blind = True  # whether `blind` lists anything
        self.small_only = False  # pose only problems with few weights, if there are any
        self.cites_equations = False  # whether its source lines cite those of docs/bptt.md
        self.hint = ""  # a form that `advice` names first
        self.network, self.fixed, self.window = network, dict(sizes or {}), window
        general(network, self.fixed)  # raises early
        if window is not None and not is_causal(network):
            why = f"a loss of {network.name} depends on later inputs"
            raise ValueError(f"window must be left out: {why}, got {window}")
        inputs = [name for name in network.arguments if name not in network.zeros]
        axes = [" ".join(axis.text for axis in network.arguments[n].axes) for n in inputs]
        try:
            tape = record_template(network, self.fixed)
            weights = _weights(tape)
            self._has_softmax = any(node.op in _SOFTMAX for node in tape.nodes)
        except (NotImplementedError, KeyError):  # it cannot be traced
            if rate is not None:
                raise
            weights, self._has_softmax = [], False
        gradients = network.differentiated if rate is None else weights
        its = [name for name in inputs if network.arguments[name].is_complex]
        self.form = Form(inputs, gradients, (), rate, weights, axes, network.outputs, complex=its)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The mistakes that its reverse pass may have.

        Raises:
            NotImplementedError: the network cannot be traced.
        """
        return Catalogue(self.network, self.fixed)

    def problems(self, dtype: str, seed: int) -> Sequence[Problem]:
        """The problems to ask: the designed ones and random ones.

        Raises:
            CannotCheck: no problem distinguishes the window from the full gradient.
        """
        key = dtype, str(seed)
        found = self._posed[key] = self._posed.get(key) or self._problems(dtype, seed)
        for problem in found:
            self._own.setdefault(id(problem), (problem, None))
        return [p for p in found if self.is_small(p)] or found if self.small_only else found

    def in_turn(self, dtype: str) -> Sequence[tuple[Problem, ...]]:
        """Sequences of problems to ask in one process; the last problem of each is judged."""
        if (dtype,) not in self._posed:
            sequences = list(in_turn(self.network, dtype, self.fixed))
            self._posed[(dtype,)] = sequences[-1:] if self.network.outputs else sequences
            self._own |= {id(p): (p, None) for *_, p in self._posed[(dtype,)]}
        return self._posed[(dtype,)]

    def reference(self, problem: Problem) -> Reference:
        """The right gradient and its bound; kept for its own problems, not for those of others."""
        if id(problem) not in self._own:
            return self._reference(problem)
        right = self._own[id(problem)][1] or self._reference(problem)
        self._own[id(problem)] = problem, right
        return right

    def judged(self, problem: Problem, answer: Answer) -> Reference:
        """What an answer is judged by: of a layer's the noise floor, too, if the bound refuses it.

        It takes longer, and right answers rarely need it.
        """
        right = self.reference(problem)
        if not self.network.outputs or right.derived or right.measured:
            return right
        if agrees(answer.compared, right) and not explodes(right, problem.dtype):
            return right
        right = with_floor(self.network, problem, right)
        self._own[id(problem)] = problem, right
        return right

    def prepare(self, problem: Problem) -> None:
        """Compute what `reference` will be asked for, while a candidate answers the problem."""
        if id(problem) in self._own:
            with suppress(ValueError, NotImplementedError):  # `reference` raises it again
                self.reference(problem)

    def _problems(self, dtype: str, seed: int) -> list[Problem]:
        left_out = _OVERFLOWS if self._has_softmax else ""
        # A layer's inputs are few, and mostly no weights: it is the noise floor that then decides.
        tells = self._tells if not self.network.outputs else lambda problem: True
        designed = drawn(self.network, dtype, self.fixed, self.window, tells, left_out)
        count = _RANDOM_OF_A_LAYER if self.network.outputs else _RANDOM_PROBLEMS
        others = random(self.network, dtype, seed, count, self.fixed, _LONGEST)
        found = [*designed, *others]
        if self.window is not None and not any(map(self._shows_the_window, found)):
            raise CannotCheck(
                f"no problem distinguishes a window of {self.window} steps from no window"
            )
        return found

    def _tells(self, problem: Problem) -> bool:
        """Whether what rounding allows is a small part of every gradient that is not 0."""
        self._own[id(problem)] = problem, None
        try:
            right = self.reference(problem)
        except (ValueError, NotImplementedError):  # `reference` raises it again
            return True
        return is_sharp(right, precision(problem.dtype).eps)

    def _shows_the_window(self, problem: Problem) -> bool:
        if problem.sizes["time"] <= (self.window or 0) + 1:
            return False
        full = reference(self.network, problem, measure=True)
        return not agrees(full.gradients, self.reference(problem))

    def question(self, problem: Problem) -> Question:
        """What a backward pass is called with; a layer is called twice at the first problem alone.

        The input arrays, by name, are in order.
        """
        inputs = {name: problem.values[name] for name in self.form.inputs}
        twice = not self.network.outputs or problem.name == "general"
        return Question(inputs, problem.sizes, twice)

    def advice(self) -> str:
        """The remedy for a pass that takes other sizes than all problems, or an empty text."""
        free = [name for name in self.network.axis_names if name not in self.fixed]
        if not free:
            return ""
        sizes = ",".join(f"{name}={8 if name == 'time' else 4}" for name in free)
        return f". If it takes only certain sizes, pass them, as in {self.hint}--shapes {sizes}"

    def _reference(self, problem: Problem) -> Reference:
        """Autograd's gradient and the derived bound; with a window, a measured noise floor.

        With a rate, the bound also covers the rounding of the updated weights.
        """
        right = reference(self.network, problem, measure=True)
        unit = precision(problem.dtype).eps
        if self.window is not None and problem.sizes["time"] > self.window + 1:
            graph, truncated = self.catalogue.graph(problem), _window(self.window)
            gradients = altered_gradients(graph, truncated)
            floor = noise_floor(graph, (truncated,), gradients, unit)
            bounds = {n: np.maximum(floor[n], right.bounds[n]) for n in gradients}
            why = "a measured noise floor, not a bound: none is derived for a window"
            right = right._replace(gradients=gradients, bounds=bounds, measured=why)
        if self.form.rate:
            old = {n: np.abs(problem.values[n]) / abs(self.form.rate) for n in right.bounds}
            new = {n: old[n] + np.abs(right.gradients[n]) for n in old}
            bounds = {n: b + unit * (old[n] + new[n]) for n, b in right.bounds.items()}
            right = right._replace(bounds=bounds)
        return right

    def names(self, asked: Sequence[Asked]) -> list[Explanation] | None:
        """The explanations from the derived catalogue; None if it cannot be derived."""
        if all(a.answer.narrow for a in asked):
            narrow = Mistake("lower precision inside", "it returns a narrower dtype")
            return [Explanation((narrow,))]
        try:
            if self.window is not None:
                return self._other_windows(asked)
            trials = [Trial(a.problem, a.answer.gradients, a.right) for a in asked]
            found = name_mistakes(trials, self.catalogue)
        except NotImplementedError:
            return None
        return [
            Explanation(_worded(e.mistakes), e.also, e.explains, e.left, e.one_step) for e in found
        ]

    def _other_windows(self, asked: Sequence[Asked]) -> list[Explanation] | None:
        """Try other windows and no window; no other mistakes are tried."""
        longest = max(a.problem.sizes["time"] for a in asked)
        for k in [longest, *range(min(longest, _WINDOWS))]:
            if not any(_differs(self.catalogue, _window(k), a) for a in asked):
                text = f"errors travel {k} step{'s' * (k != 1)} back, not {self.window}"
                if k == longest:
                    text = "not truncated: errors travel back to the first step"
                return [Explanation((Mistake(text, ""),))]
        return None

    def locate(self, ask: Ask, dtype: str, wrong: Sequence[Asked] = ()) -> Where:
        """Find the wrong loss steps, state steps and gates.

        If a problem made for this shows no mistake, those that show most of it are asked, the
        smallest first; the words name it.
        """
        few = [a for a in wrong if a.problem.sizes["time"] <= _MOST_STEPS]
        telling = sorted(
            few, key=lambda a: (not a.answer.is_finite, -_wrong_gradients(a), *_cost(a.problem))
        )
        try:
            first = [None] if not self.network.outputs else []  # a layer's have each step's entries
            for problem in [*first, *(a.problem for a in telling[:_MOST_LOCATED])]:
                found = locate(
                    self.network, lambda p: ask(p).gradients, self.fixed, self._of_a_part,
                    problem=problem, dtype=dtype,
                )  # fmt: skip
                if found.wrong or (found.whole and found.reason):
                    break
        except NotImplementedError as error:
            raise CannotCheck(str(error)) from None
        if found.reason:
            raise CannotCheck(found.words())
        if wrong and not few and not found.wrong:
            name = wrong[0].problem.name
            raise CannotCheck(f"it is wrong at {name!r}, which has too many steps to ask for each")
        one = ", each cell with the inputs of its step alone" * found.apart
        at = f"at {found.problem!r}{one}: " if problem is not None or one else ""
        claim = {**asdict(found.claim), "problem": found.problem}
        words = at + found.words()
        return Where(found.cells, found.zero, found.sums, words, claim, found.finals)

    def _of_a_part(self, problem: Problem) -> Reference:
        """What is right at a problem made to locate a mistake."""
        right = self._reference(problem)
        return with_floor(self.network, problem, right) if self.network.outputs else right

    def votes(self, wrong: Sequence[Asked]) -> list[Vote]:
        """Votes where the error is largest, of the problems with few steps and few weights."""
        few = [a for a in wrong if a.problem.sizes["time"] <= _MOST_STEPS] or wrong
        small = [a for a in few if self.is_small(a.problem)]
        worst = max(small or few, key=lambda a: furthest(a.answer.gradients, a.right))
        return votes(self.network, worst, self.oracles if small else {})

    def is_small(self, problem: Problem) -> bool:
        """Whether to ask oracles that run the network once for each weight."""
        return sum(problem.values[n].size for n in self.form.gradients) <= _LARGEST_VOTE

    def blind(self, asked: Sequence[Asked]) -> list[str]:
        """The mistakes that the given sizes cannot detect; empty if any size is taken."""
        if not (self.lists_blind and self.fixed) or self.window is not None:
            return []
        return self.undetected(asked)

    def undetected(self, asked: Sequence[Asked]) -> list[str]:
        """The mistakes in whole gradients, sums and states that these problems cannot detect."""
        try:
            catalogue = self.catalogue
        except NotImplementedError:
            return []
        blind = []
        if all(a.problem.sizes["time"] == 1 for a in asked):
            blind.append("no error is passed back to the previous step (there is only one step)")
        missing = [n for n in self.form.gradients if n not in asked[0].answer.gradients]
        sharpest_first = sorted(asked, key=_sharpness, reverse=True)  # they detect most mistakes
        for mistake in catalogue.mistakes:
            if (
                mistake.part.edges
                or mistake.forward
                or any(_differs(catalogue, mistake, a) for a in sharpest_first)
                or _changes(catalogue, mistake, asked[0].problem, asked[0].right, missing)
            ):
                continue
            shown = [_changes(catalogue, mistake, *each) for each in self._of_any_sizes]
            if any(shown) or not shown:  # some change nothing of this network at any size
                blind.append(sentence(mistake))
        return list(dict.fromkeys(blind))

    @cached_property
    def _of_any_sizes(self) -> list[tuple[Problem, Reference]]:
        """Problems, a short and a long one, whatever sizes are given, with what is right."""
        chosen = [p for p in drawn(self.network) if p.name in ("general", "long memory")]
        with suppress(ValueError):
            return [(p, self._reference(p)) for p in chosen]
        return []


def _weights(tape: Tape) -> list[str]:
    """The arguments to differentiate that are neither given at every step nor initial states."""
    network = tape.network
    timed = {n for n, a in network.arguments.items() if a.time_axis is not None}
    initial = Step(tape).initial_states
    return [n for n in network.differentiated if n not in timed | initial]


def _window(steps: int) -> Altered:
    return Altered(Part("window"), "window", (steps,))


def _differs(catalogue: Catalogue, mistake: Altered, a: Asked) -> bool:
    """Whether a pass with this mistake gives another answer than the candidate."""
    answered = Expected(a.answer.gradients, a.right.bounds)
    return _changes(catalogue, mistake, a.problem, answered)


def _changes(
    catalogue: Catalogue,
    mistake: Altered,
    problem: Problem,
    right: Right,
    names: Sequence[str] | None = None,
) -> bool:
    """Whether the mistake changes one of these gradients, or of all, at a problem."""
    imitation = catalogue.of((mistake,), problem)
    asked = right.gradients if names is None else names
    with np.errstate(all="ignore"):
        return imitation is not None and not agrees({n: imitation[n] for n in asked}, right)


def _wrong_gradients(a: Asked) -> int:
    """How many gradients of an answer are wrong."""
    return sum(bool((f > 1).any()) for f in fractions(a.answer.gradients, a.right).values())


def _worded(mistakes: Sequence[Altered]) -> tuple[Mistake, ...]:
    """Each in words; two in one line that have the same words, such as of the last step, as one."""
    alike: dict[tuple[str, str], tuple[Altered, ...]] = {}
    for m in mistakes:
        words = sentence(m), m.where
        alike[words] = (*alike.get(words, ()), m)
    return tuple(Mistake(*words, its) for words, its in alike.items())


def _cost(problem: Problem) -> tuple[bool, int]:
    """Problems of several steps first, then those with the fewest numbers to ask for."""
    steps = problem.sizes["time"]
    return steps < 2, steps * sum(value.size for value in problem.values.values())


def _sharpness(a: Asked) -> float:
    """The largest entry of the right gradients, as a multiple of its bound."""
    with np.errstate(all="ignore"):
        shares = [abs(g) / a.right.bounds[n] for n, g in a.right.gradients.items()]
    return max(float(np.nan_to_num(share, posinf=0).max(initial=0)) for share in shares)
