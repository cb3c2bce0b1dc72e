"""The mistakes that a network's reverse pass may have, derived from its operations."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from bptt_check.catalogue.altered_forward import forward_mistakes, value_mistakes
from bptt_check.catalogue.answers import answer_mistakes
from bptt_check.catalogue.contributions import edge_mistakes
from bptt_check.catalogue.paths import path_mistakes
from bptt_check.catalogue.sums_and_states import sum_mistakes, time_mistakes
from bptt_check.networks.network import Network
from bptt_check.networks.problems import Problem
from bptt_check.tracing.changes import gradients
from bptt_check.tracing.mistakes import Mistake, Mistakes
from bptt_check.tracing.reverse import Gradients, Graph
from bptt_check.tracing.step import Step
from bptt_check.tracing.tape import record, record_template


class Outcomes(ABC):
    """Mistakes, and what each gives: a `Catalogue`, or the edits of a pass."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self.computed = 0  # what all of it has cost: operations of reverse passes, or runs
        self._kept: dict[tuple[Mistake, int], Gradients | None] = {}

    @abstractmethod
    def reach(self, mistake: Mistake) -> set[str]:
        """The arguments whose gradients the mistake can change."""

    @abstractmethod
    def of(self, mistakes: Mistakes, problem: Problem) -> Gradients | None:
        """The gradients with these mistakes; None if they cannot be made at the problem."""

    def kept(self, mistake: Mistake, problem: Problem) -> Gradients | None:
        """As `of`, computed once: of a mistake of the catalogue, and of a problem asked again."""
        key = mistake, id(problem)
        if key not in self._kept:
            self._kept[key] = self.of((mistake,), problem)
        return self._kept[key]


class Catalogue(Outcomes):
    """The mistakes of a network; recorded tapes are kept for the next candidate."""

    def __init__(self, network: Network, fixed: Mapping[str, int] | None = None) -> None:
        super().__init__()
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

    def graph(self, problem: Problem) -> Graph:
        """The tape of a problem, recorded once."""
        if id(problem) not in self.graphs:
            self.graphs[id(problem)] = problem, Graph(record(self.network, problem, self.template))
        return self.graphs[id(problem)][1]

    def reach(self, mistake: Mistake) -> set[str]:
        """The arguments whose gradients the mistake can change."""
        part, arguments = mistake.part, self.template.arguments
        if part.kind == "answer":
            return set(part.names)
        if not part.edges or part.states:
            return set(arguments)
        touched = self.step.graph.touched(frozenset(part.edges))
        return {name for name, index in arguments.items() if index in touched}

    def of(self, mistakes: Mistakes, problem: Problem) -> Gradients | None:
        """The gradients with these mistakes; None if they cannot be made at the problem."""
        graph = self.graph(problem)
        self.computed += len(graph.nodes)
        try:
            with np.errstate(all="ignore"):
                return gradients(graph, *mistakes)
        except (ValueError, IndexError, KeyError, RuntimeError, TypeError):
            return None
