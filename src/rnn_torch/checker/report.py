"""The result of examining a backward pass."""

from dataclasses import dataclass
from typing import Any, Literal

from rnn_numpy.elman_network.checks import finite
from rnn_torch.checker.comparison import Entry
from rnn_torch.checker.own_lines import OwnLines
from rnn_torch.checker.subject import Explanation, Vote, Where

Verdict = Literal["agrees", "disagrees", "approximate", "impure"]


@dataclass(frozen=True)
class Report:
    """The result of examining a backward pass."""

    verdict: Verdict
    dtype: str
    window: int | None
    problems: int
    used: float  # the largest error of an entry / what rounding allows
    name: str = "backward"
    worst: tuple[Entry, ...] = ()  # one for each gradient returned
    by_problem: tuple[tuple[Entry, ...], ...] = ()  # for each problem, as `worst`
    missing: tuple[str, ...] = ()  # the gradients not returned
    loss: str = ""  # a sentence about the candidate's loss, if it returns one
    measured: str = ""  # why the bound is measured instead of derived; empty if derived
    factors: tuple[str, ...] = ()
    only_at: tuple[str, ...] = ()  # the problems with wrong answers, if at most three
    where: Where | None = None
    mistakes: tuple[Explanation, ...] | None = ()  # None: there is no catalogue
    lines: tuple[OwnLines, ...] = ()  # one for each mistake, or one for all
    votes: tuple[Vote, ...] = ()
    impure: tuple[str, ...] = ()
    not_located: str = ""  # why a wrong pass has no `where`
    blind: tuple[str, ...] = ()  # mistakes that cannot be detected at the given sizes

    @property
    def right(self) -> bool:
        """Whether the verdict is "agrees"."""
        return self.verdict == "agrees"

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values; NaN and infinity as `finite` writes them."""
        return {
            "verdict": self.verdict,
            "dtype": self.dtype,
            "window": self.window,
            "problems": self.problems,
            "fraction_of_what_rounding_allows": finite(self.used),
            "worst": [
                {
                    **{key: finite(value) for key, value in entry._asdict().items()},
                    "absolute_error": finite(entry.error),
                    "relative_error": finite(entry.relative),
                }
                for entry in self.worst
            ],
            "by_problem": {
                entries[0].problem: {entry.name: finite(entry.fraction) for entry in entries}
                for entries in self.by_problem
            },
            "not_returned": list(self.missing),
            "loss": self.loss,
            "measured": self.measured,
            "factors": list(self.factors),
            "wrong_only_at": list(self.only_at),
            "where": self.where
            and {
                "words": self.where.words,
                "cells": {
                    label: [[finite(float(v)) for v in row] for row in matrix]
                    for label, matrix in self.where.cells.items()
                },
                "sums": {
                    label: [finite(float(v)) for v in column]
                    for label, column in self.where.sums.items()
                },
            },
            "not_located": self.not_located,
            "mistakes": None
            if self.mistakes is None
            else [
                {
                    "mistakes": [{"name": m.name, "place": m.place} for m in explanation.mistakes],
                    "also": list(explanation.also),
                }
                for explanation in self.mistakes
            ],
            "your_lines": [
                {
                    "words": own.words,
                    "lines": [{"place": p, "text": t} for p, t in own.lines],
                    "unknown": own.unknown,
                }
                for own in self.lines
            ],
            "votes": [vote._asdict() for vote in self.votes],
            "impure": list(self.impure),
            "cannot_show": list(self.blind),
        }
