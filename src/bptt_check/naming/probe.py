"""Compare the answer to one problem with what a mistake gives there, block by block.

A block is a gradient, or one gate of it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bptt_check.error_bound.bound import Reference
from bptt_check.networks.network import Array, precision
from bptt_check.networks.problems import Problem
from bptt_check.tracing.changes import gradients
from bptt_check.tracing.locate import gate_masks
from bptt_check.tracing.mistakes import Mistakes
from bptt_check.tracing.reverse import Gradients, Graph
from bptt_check.tracing.step import Step

#: The share of a block's largest entry within which rounding may explain a difference.
_NEAR = 1e-9
_ROUNDINGS = 256  # units of roundoff of the largest term, which a bound is at most, usually
_COMPARED = 6  # entries of a block, of which the factors are compared


@dataclass(eq=False)
class Probe:
    """A problem, a candidate's answer to it (some of the gradients), and the right gradients.

    Sets of blocks are integers: bit i is the block `labels[i]`. `zero`: those that are exactly 0.
    """

    problem: Problem
    answer: Mapping[str, Array]
    right: Reference
    step: Step
    graph: Graph | None

    def __post_init__(self) -> None:
        self.labels: list[str] = []
        self.names: list[str] = []  # of the arguments, for each block
        blocks = []
        for name in self.answer:
            block = np.zeros(np.shape(self.answer[name]), int)
            network = self.step.tape.network
            for label, mask in gate_masks(network, self.problem, name, self.step):
                block[mask] = len(self.labels)
                self.labels.append(label)
                self.names.append(name)
            blocks.append(block.ravel())
        self._block = np.concatenate(blocks)
        self._answer = self._flat(self.answer)
        self._right, self._bound = self._flat(self.right.gradients), self._flat(self.right.bounds)
        unit = precision(self.problem.dtype).eps
        #: The size of the right entries, or of terms that cancel in all of them.
        self._terms = np.maximum(
            self._largest(self._right), self._largest(self._bound) / (_ROUNDINGS * unit)
        )
        self.all = (1 << len(self.labels)) - 1
        self.zero = self.all & ~self._bits(self._answer != 0)

    @cached_property
    def wrong(self) -> int:
        """The blocks of the answer that are wrong."""
        return self._bits(self._beyond(self._right, self._answer))

    @property
    def steps(self) -> int:
        """The number of time steps."""
        return self.problem.sizes.get("time", 1)

    def blocks_of(self, names: Collection[str]) -> int:
        """The blocks of these arguments' gradients."""
        return sum(1 << i for i, name in enumerate(self.names) if name in names)

    def names_of(self, blocks: int) -> set[str]:
        """The arguments whose gradients these blocks are parts of."""
        return {name for i, name in enumerate(self.names) if blocks >> i & 1}

    @property
    def cost(self) -> int:
        """What a reverse pass costs here, roughly."""
        sizes = sum(v.size for v in self.problem.values.values())
        return self.steps * sizes

    def products(
        self, blocks: int, base: Gradients, outcomes: Sequence[Gradients | None]
    ) -> Iterator[tuple[int, int]]:
        """The pairs of outcomes whose factors together make the base of a block the answer.

        A factor is the share of the right entry; `base`: what other mistakes give.
        """
        valid = [i for i, found in enumerate(outcomes) if found and self.is_valid(found)]
        if not valid:
            return
        with np.errstate(all="ignore"):
            wanted = self._answer / self._flat(base)
            factors = np.array([self._flat(outcomes[i] or {}) / self._right for i in valid])
        is_told = (self._right != 0) & (self._answer != 0)
        for block in range(len(self.labels)):
            its = np.flatnonzero((self._block == block) & is_told)[:_COMPARED]
            if blocks >> block & 1 and len(its):
                for i, j in _pairs(factors[:, its], wanted[its]):
                    yield valid[i], valid[j]

    def left(
        self,
        mistakes: Mistakes,
        found: Gradients | None,
        *,
        first: bool = False,
        among: int | None = None,
    ) -> int:
        """The blocks of the answer that these mistakes, which give `found`, do not give.

        A mistake may amplify rounding (a division by 1 - h^2): its own noise floor is measured if
        it does not give one of the blocks `among`. `first`: rounding alone must not decide this
        answer, so that it must nearly give one. Without a graph no noise floor is measured.
        """
        if not mistakes:
            return self.wrong
        if found is None or not self.is_valid(found):
            return self.all
        imitation = self._flat(found)
        beyond = self._beyond(imitation, self._answer)
        left = self._bits(beyond)
        if self.graph is None:
            return left
        with np.errstate(all="ignore"):
            far = abs(imitation - self._answer) > _NEAR * self._largest(imitation)
        near = left & ~self._bits(far) if first else left
        if not near & (self.all if among is None else among):
            return left
        unit = precision(self.problem.dtype).eps
        floor = self._flat(noise_floor(self.graph, mistakes, found, unit))
        with np.errstate(all="ignore"):
            beyond &= ~(abs(imitation - self._answer) <= floor)
        if first:
            beyond |= far | ~np.isfinite(floor)
        return self._bits(beyond)

    def differs(self, found: Gradients) -> int:
        """The blocks of the answer that differ from these gradients by more than rounding."""
        return self._bits(self._beyond(self._flat(found), self._answer))

    def effect(self, found: Gradients | None) -> int | None:
        """The blocks that differ from the right ones in these gradients; None if they are none."""
        if found is None or not self.is_valid(found):
            return None
        return self._bits(self._beyond(self._flat(found), self._right))

    def is_valid(self, found: Gradients) -> bool:
        """Whether these can be a finite answer's gradients."""
        return all(
            np.shape(found[n]) == np.shape(g) and bool(np.isfinite(found[n]).all())
            for n, g in self.answer.items()
        )

    def _flat(self, of: Mapping[str, Array]) -> Array:
        return np.concatenate([np.ravel(of[n]) for n in self.answer])

    def _bits(self, entries: Array) -> int:
        return sum(1 << int(block) for block in np.unique(self._block[entries]))

    def _largest(self, entries: Array) -> Array:
        """The largest entry of its block, for each entry."""
        largest = np.zeros(len(self.labels))
        np.maximum.at(largest, self._block, abs(entries))
        return np.asarray(largest[self._block])

    def _beyond(self, imitation: Array, entries: Array) -> Array:
        """The entries that differ by more than rounding, which grows with the imitation's size."""
        with np.errstate(all="ignore"):
            scale = self._largest(imitation) / np.maximum(self._terms, 1e-300)
            allowed = 2 * self._bound * np.maximum(1.0, scale)
            return ~(abs(entries - imitation) <= allowed)


def _pairs(factors: Array, wanted: Array) -> Array:
    """The pairs of rows, as (pairs, 2) numbers, whose product is what is wanted."""
    with np.errstate(all="ignore"):
        first = abs(factors[:, :1] * factors[:, 0] - wanted[0]) <= _NEAR * abs(wanted[0])
        pairs = np.argwhere(np.triu(first, 1))  # most differ at the first entry
        i, j = pairs.T
        near = abs(factors[i] * factors[j] - wanted) <= _NEAR * abs(wanted)
    return np.asarray(pairs[near.all(axis=1) & np.isfinite(wanted).all()])


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
