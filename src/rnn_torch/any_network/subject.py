"""Any network as a `rnn_torch.checker.subject.Subject`: what the judge asks, derived by machine."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from rnn_numpy.isolation.calling import Form
from rnn_torch.any_network.forward_passes import about_losses
from rnn_torch.any_network.votes import votes
from rnn_torch.catalogue import Asked as Seen
from rnn_torch.catalogue import Catalogue, name_mistakes, noise_floor
from rnn_torch.checker.comparison import agrees, furthest
from rnn_torch.checker.purity import Expected
from rnn_torch.checker.subject import Array, Ask, Asked, CannotCheck, Explanation, Vote, Where
from rnn_torch.error_bound import Reference, reference
from rnn_torch.networks import Network, Problem, designed, in_turn, random
from rnn_torch.tracing import Mistake, locate

_RANDOM_PROBLEMS = 12
_WINDOWS = 30  # that are tried where another was meant


class Line(NamedTuple):
    """A mistake derived from the network: what is done otherwise, and the network's line."""

    name: str
    place: str
    changes: tuple[tuple[str, str], ...] = ()


class AnyNetwork:
    """A network to be judged by.

    Args:
        network: what the backward pass shall differentiate.
        sizes: of some of its axes, of a pass that knows these only.
        window: back-propagation truncated to so many steps is right.
        rate: the pass returns nothing, and subtracts this times the gradient from its inputs.

    Raises:
        ValueError: a size of no axis, or below 1.
        NotImplementedError: with a rate, of a network that does what cannot be followed.
    """

    equations = False

    def __init__(
        self,
        network: Network,
        sizes: Mapping[str, int] | None = None,
        window: int | None = None,
        rate: float | None = None,
    ) -> None:
        self.network, self.fixed, self.window = network, dict(sizes or {}), window
        designed(network, fixed=self.fixed)  # raises early
        inputs = [name for name in network.arguments if name not in network.zeros]
        gradients = network.differentiated
        if rate is not None:  # inputs and first states are not updated
            timed = {n for n, a in network.arguments.items() if a.time_axis is not None}
            gradients = [n for n in gradients if n not in timed | self.catalogue.initial_states]
        self.form = Form(inputs, gradients, (), rate)
        # Asked for one backward pass after another, it poses the same problems.
        self.problems = cache(self._problems)
        self._in_turn = cache(lambda dtype: list(in_turn(network, dtype, self.fixed)))
        self._references: dict[int, tuple[Problem, Reference]] = {}

    @cached_property
    def catalogue(self) -> Catalogue:
        """What may be wrong in its reverse pass.

        Raises:
            NotImplementedError: it does what cannot be followed.
        """
        return Catalogue(self.network, self.fixed)

    def _problems(self, dtype: str, seed: int) -> list[Problem]:
        """The designed ones and twelve random ones; longer ones than the window.

        Raises:
            CannotCheck: none of them shows the window.
        """
        found = designed(self.network, dtype, self.fixed)
        found += random(self.network, dtype, seed, _RANDOM_PROBLEMS, self.fixed)
        if self.window is None:
            return found
        if "time" not in self.fixed:
            longer = {**self.fixed, "time": 10 + 5 * self.window // 4}
            found += designed(self.network, dtype, longer)[:1]
        if not any(self._shows_the_window(p) for p in found):
            raise CannotCheck(
                f"no problem tells a window of {self.window} steps from no window at all"
            )
        return found

    def _shows_the_window(self, problem: Problem) -> bool:
        full, window = reference(self.network, problem, measure=True), self.window or 0
        long = problem.sizes["time"] > window + 1
        return long and not agrees(full.gradients, self.reference(problem))

    def in_turn(self, dtype: str) -> Iterator[tuple[Problem, ...]]:
        """As `Subject`."""
        return iter(self._in_turn(dtype))

    def inputs(self, problem: Problem) -> Mapping[str, Array]:
        """As `Subject`."""
        return {name: problem.values[name] for name in self.form.inputs}

    def sizes(self, problem: Problem) -> Mapping[str, int]:
        """As `Subject`."""
        return problem.sizes

    def advice(self) -> str:
        """As `Subject`."""
        free = [name for name in self.network.axis_names if name not in self.fixed]
        if not free:
            return ""
        return f". If it knows one size only, give that: --shapes {free[0]}=8, for example"

    def reference(self, problem: Problem) -> Reference:
        """Autograd's gradient and the bound derived beside it; of a window, a noise floor.

        From an update, rounding of the weights it is subtracted from comes in, too.
        """
        if id(problem) not in self._references:
            self._references[id(problem)] = problem, self._reference(problem)
        return self._references[id(problem)][1]

    def _reference(self, problem: Problem) -> Reference:
        right = reference(self.network, problem, measure=True)
        unit = float(np.finfo(problem.dtype).eps)
        if self.window is not None and problem.sizes["time"] > self.window + 1:
            graph, truncated = self.catalogue.graph(problem), Mistake("", window=self.window)
            like = graph.gradients(truncated)
            floor = noise_floor(graph, truncated, like, unit)
            bounds = {n: np.maximum(floor[n], right.bounds[n]) for n in like}
            why = "a measured noise floor, not a bound: none is derived for a window"
            right = right._replace(gradients=like, bounds=bounds, measured=why)
        if self.form.rate:
            its = {n: np.abs(problem.values[n]) / abs(self.form.rate) for n in right.bounds}
            after = {n: its[n] + np.abs(right.gradients[n]) for n in its}
            bounds = {n: b + unit * (its[n] + after[n]) for n, b in right.bounds.items()}
            right = right._replace(bounds=bounds)
        return right

    def losses(self, asked: Sequence[Asked]) -> str:
        """Whether the candidate's loss is the network's."""
        return about_losses(asked)

    def names(self, asked: Sequence[Asked]) -> list[Explanation] | None:
        """By the derived catalogue; None if it cannot be derived, or is not of a window."""
        if all(a.answer.narrow for a in asked):
            return [Explanation((Line("lower precision inside", "it returns a narrower dtype"),))]
        try:
            if self.window is not None:
                return self._other_windows(asked)
            seen = [Seen(a.problem, a.answer.gradients, a.right) for a in asked]
            found = name_mistakes(seen, self.catalogue)
        except NotImplementedError:
            return None
        return [Explanation((Line(e.sentence, e.where),), e.also) for e in found]

    def _other_windows(self, asked: Sequence[Asked]) -> list[Explanation] | None:
        """Whether it is truncated elsewhere, or nowhere; no other mistake is looked for."""
        longest = max(a.problem.sizes["time"] for a in asked)
        for k in [longest, *range(min(longest, _WINDOWS))]:
            like = Mistake("", window=k)
            if all(not _seen(self.catalogue, like, a) for a in asked):
                says = f"errors travel {k} steps back, not {self.window}"
                if k == longest:
                    says = "not truncated: errors travel all the way back"
                return [Explanation((Line(says, ""),))]
        return None

    def locate(self, ask: Ask, dtype: str) -> Where:
        """Loss step by state step, gate by gate."""
        try:
            found = locate(self.network, lambda p: ask(p).gradients, self.fixed, self._reference)
        except NotImplementedError as error:
            raise CannotCheck(str(error)) from None
        return Where(found.cells, found.zero, found.sums, found.words())

    def votes(self, wrong: Sequence[Asked]) -> list[Vote]:
        """At the problem where it is furthest off."""
        worst = max(wrong, key=lambda a: furthest(a.answer.gradients, a.right))
        return votes(self.network, worst.problem, worst.answer.gradients, worst.right)

    def blind(self, asked: Sequence[Asked]) -> list[str]:
        """Of the catalogue's mistakes in whole gradients, sums and states, at sizes given."""
        if not self.fixed or self.window is not None:
            return []
        try:
            catalogue = self.catalogue
        except NotImplementedError:
            return []
        blind = []
        if self.fixed.get("time") == 1:
            blind.append("the error is not passed back to the step before: there is none")
        missing = [f"d{n} " for n in self.form.gradients if n not in asked[0].answer.gradients]
        for mistake in catalogue.mistakes:
            if mistake.edges or mistake.forward or mistake.sentence.startswith(tuple(missing)):
                continue
            if not any(_seen(catalogue, mistake, a) for a in asked):
                blind.append(mistake.sentence)
        return blind


def _seen(catalogue: Catalogue, mistake: Mistake, a: Asked) -> bool:
    """Whether the problem tells the mistake from the candidate's answer."""
    like = catalogue.of(mistake, a.problem)
    answered = a.answer.gradients
    if like is None:
        return False
    with np.errstate(all="ignore"):
        return not agrees({n: like[n] for n in answered}, Expected(answered, a.right.bounds))
