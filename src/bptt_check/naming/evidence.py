"""What a set of mistakes gives of a candidate's answers, and whether that is enough to say so."""

from collections.abc import Sequence
from functools import reduce
from operator import and_

from bptt_check.catalogue.derived import Outcomes
from bptt_check.catalogue.words import sentence
from bptt_check.naming.probe import Probe
from bptt_check.tracing.mistakes import Mistake, Mistakes


def not_given(catalogue: Outcomes, mistakes: Mistakes, probe: Probe, among: int) -> int:
    """The blocks that these mistakes do not give; of those `among`, as finely as can be decided."""
    found = catalogue.of(mistakes, probe.problem) if mistakes else None
    return probe.left(mistakes, found, among=among)


def likeliest(mistake: Mistake) -> tuple[int, int]:
    """Sorts mistakes: the likeliest first, of these the one that is said in the fewest words."""
    return mistake.rank, len(sentence(mistake))


def is_zero(mistake: Mistake) -> bool:
    """Whether the mistake is that gradients are zero."""
    return mistake.part.kind == "answer" and mistake.change == "cut"


class Evidence:
    """The evidence of some problems, the candidate's answers to which are compared.

    Args:
        one_step: these problems have one step, where different mistakes often do the same.
    """

    def __init__(
        self, catalogue: Outcomes, probes: Sequence[Probe], one_step: bool = False
    ) -> None:
        self.catalogue, self.one_step = catalogue, one_step
        self.probes = sorted(probes, key=lambda probe: probe.cost)
        self._zero = reduce(and_, (probe.zero for probe in probes))

    def given(self, mistakes: Mistakes, among: int) -> int:
        """The blocks, of these, that the mistakes give at every problem."""
        for probe in self.probes:
            among &= ~not_given(self.catalogue, mistakes, probe, among) if among else 0
        return among

    def supported(self, mistakes: Mistakes, among: int) -> tuple[Mistakes, int]:
        """Those of the mistakes with enough evidence, and the blocks, of these, that they give.

        If they do not give every block, or at one step, each must give two blocks or a gradient,
        which are not 0; and another forward pass, which changes everything, is not said.
        """
        given = self.given(mistakes, among)
        while self.one_step or given != self.probes[0].all:
            weak = [m for m in mistakes if not self._is_evident(m, mistakes, given)]
            if not weak:
                break
            worst = max(weak, key=lambda m: m.rank)
            mistakes = _without(mistakes, worst)
            given = self.given(mistakes, given)
        return mistakes, given

    def needed(self, mistakes: Mistakes, blocks: int) -> Mistakes:
        """The mistakes without those, the unlikeliest first, that none of these blocks needs."""
        for mistake in sorted(mistakes, key=likeliest, reverse=True):
            rest = _without(mistakes, mistake)
            if self.given(rest, blocks) == blocks:
                mistakes = rest
        return mistakes

    def _is_evident(self, mistake: Mistake, mistakes: Mistakes, given: int) -> bool:
        if mistake.part.kind in ("operation", "arguments"):
            return False
        lost = given & ~self.given(_without(mistakes, mistake), given)
        probe = self.probes[0]
        if is_zero(mistake) and not self.one_step:
            return lost > 0 and not probe.blocks_of(mistake.part.names) & ~given
        shown = lost & ~self._zero
        return shown.bit_count() > 1 or any(
            probe.blocks_of([name]) == shown for name in probe.names_of(shown)
        )


def _without(mistakes: Mistakes, mistake: Mistake) -> Mistakes:
    return tuple(m for m in mistakes if m is not mistake)
