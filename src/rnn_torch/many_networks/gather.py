"""Gather the results of a sweep: each process writes its own, the first collects them all.

Each process writes a result, as soon as there is one, to FILE.rank-R.jsonl on its own machine; the
first process writes to FILE, and collects the other files into it. After a restart the results in
all these files are read, so that no finished network is trained again.
"""

import glob
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from rnn_numpy.training.many_networks import Trained
from rnn_numpy.training.processes import Alone
from rnn_numpy.training.recipe import Recipe
from rnn_torch.many_networks.grid import Grid
from rnn_torch.many_networks.results import Journal, ResultsError, read_results


class Collection:
    """The results of all processes. Each method but `add` is called by all of them together.

    Args:
        out, resume: as for `Journal`.
        ranks: the processes.

    Raises:
        ResultsError: as for `Journal`, in every process.
    """

    def __init__(self, out: str | None, resume: bool, ranks: Alone) -> None:
        self._out, self._ranks = out, ranks

        def open_the_first() -> None:  # whose lock keeps other sweeps away
            if ranks.leads:
                self._journal = Journal(out, resume=resume)

        def open_the_others() -> None:
            if not ranks.leads:
                self._journal = Journal(out and f"{out}.rank-{ranks.rank}.jsonl")

        ranks.together(open_the_first)
        self._bring(lambda: self._left(resume))
        ranks.together(open_the_others)

    @property
    def results(self) -> list[Trained]:
        """In the first process, at the beginning and after `collect`: the results of all."""
        return self._journal.results

    def finished(self, recipes: Grid) -> set[Recipe]:
        """Those with a result, at the beginning and after `collect`."""

        def find() -> set[Recipe]:
            return {result.recipe for result in self.results if result.recipe in recipes}

        return self._ranks.from_leader(find) or set()

    def add(self, result: Trained) -> None:
        """Keep a result of this process.

        Raises:
            OSError: it could not be written.
        """
        self._journal.add(result)

    def collect(self) -> None:
        """Bring all results to the first process, and its file.

        Raises:
            OSError: they could not be written; those of the others are still where they were.
        """
        self._bring(lambda: [] if self._ranks.leads else self._journal.results)

    def complete(self, recipes: Grid) -> None:
        """As `Journal.complete`."""
        self._ranks.from_leader(lambda: self._journal.complete(recipes))

    def _bring(self, find: Callable[[], list[Trained]]) -> None:
        brought = self._ranks.together(find)

        def add() -> None:
            there = {result.recipe for result in self._journal.results}
            for result in chain.from_iterable(brought):
                if result.recipe not in there:
                    self._journal.add(result)
                    there.add(result.recipe)

        def remove() -> None:
            for part in self._parts():
                part.unlink(missing_ok=True)

        self._ranks.from_leader(add)
        self._ranks.together(remove)

    def _parts(self) -> list[Path]:
        if self._out is None:
            return []
        return [Path(name) for name in sorted(glob.glob(f"{glob.escape(self._out)}.rank-*.jsonl"))]

    def _left(self, resume: bool) -> list[Trained]:
        parts = self._parts()
        if parts and not resume:
            raise ResultsError(f"{parts[0]} is there already: --resume goes on with it")
        return [result for part in parts for result in read_results(part)]
