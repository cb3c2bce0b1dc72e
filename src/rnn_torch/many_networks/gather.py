"""Gather the results of a sweep: each process writes its own, the first collects them all.

Each process writes a result, as soon as there is one, to FILE.rank-R.jsonl on its own machine; the
first process writes to FILE, and collects the other files into it. After a restart the results in
all these files are read, so that no finished network is trained again.
"""

import glob
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from rnn_numpy.training.many_networks import Trained
from rnn_numpy.training.processes import Processes
from rnn_torch.many_networks.grid import Grid
from rnn_torch.many_networks.journal import Journal, read_journal, refuse_existing
from rnn_torch.many_networks.tables import journal_of, write_table


class Collection:
    """The results of all processes. Each method but `add` is called by all of them together.

    Args:
        out: the file, in the format of its suffix; None keeps the results in memory.
        resume: continue existing files instead of refusing them.
        recipes: the networks of this sweep.

    Raises:
        ResultsError, WeightsError: as for `journal_of` and `Journal`, in every process.
    """

    def __init__(self, out: str | None, resume: bool, recipes: Grid, processes: Processes) -> None:
        self._out = None if out is None else Path(out)
        self._recipes, self._processes = recipes, processes
        left: list[Trained] = []
        with processes.failing_together():
            if processes.leads():  # its lock keeps other sweeps away
                self._journal = Journal(self._out and journal_of(self._out, resume), resume=resume)
            for part in self._parts():
                refuse_existing(part, resume)
                left += read_journal(part)[0].values()
        self._bring(left)
        with processes.failing_together():
            if not processes.leads():
                self._journal = Journal(self._out and _part(self._out, str(processes.rank)))
        #: Networks with a result when the sweep begins.
        self.finished = processes.gather({result.recipe for result in self.results})[0]

    @property
    def results(self) -> list[Trained]:
        """In the first process, at the beginning and after `collect`: all, in order."""
        results = self._journal.results
        return [results[recipe] for recipe in self._recipes.in_order(results)]

    def add(self, result: Trained) -> None:
        """Write a result of this process; ResultsError if it cannot be written."""
        self._journal.add([result])

    def collect(self) -> int:
        """Send all results to the first process; return the number of missing ones.

        If none is missing, the file is completed: the journal is sorted, or the table written.

        Raises:
            ResultsError, WeightsError: the file cannot be written; all journals are unchanged.
        """
        self._bring([] if self._processes.leads() else self._journal.results.values())
        missing = len(self._recipes) - self._processes.gather(len(self.results))[0]
        with self._processes.failing_together():
            if self._processes.leads() and self._out is not None and not missing:
                if self._journal.path == self._out:
                    self._journal.sort(result.recipe for result in self.results)
                else:
                    write_table(self._out, self.results)
                    self._journal.remove()
        return missing

    def _bring(self, mine: Iterable[Trained]) -> None:
        everyone = self._processes.gather(list(mine))
        with self._processes.failing_together():
            if self._processes.leads():
                self._journal.add(chain.from_iterable(everyone))
        with self._processes.failing_together():
            for part in self._parts():
                part.unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        if self._out is None:
            return []
        return sorted(self._out.parent.glob(_part(Path(glob.escape(self._out.name)), "*").name))


def _part(out: Path, rank: str) -> Path:
    return out.with_name(f"{out.name}.rank-{rank}.jsonl")
