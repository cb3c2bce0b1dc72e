"""What was found out about a backward pass."""

from dataclasses import dataclass
from typing import Any, Literal

from rnn_numpy.elman_network.checks import finite
from rnn_torch.checker.comparison import Entry
from rnn_torch.checker.subject import Explanation, Vote, Where

Verdict = Literal["agrees", "disagrees", "approximate", "impure"]


@dataclass(frozen=True)
class Report:
    """What was found out about a backward pass."""

    verdict: Verdict
    dtype: str
    window: int | None
    problems: int
    used: float  # the worst entry of all, as a fraction of what rounding allows
    name: str = "backward"
    worst: tuple[Entry, ...] = ()  # one for each gradient that it returned
    missing: tuple[str, ...] = ()  # the gradients that it did not return
    loss: str = ""  # a sentence about its own loss, if it returned one
    measured: str = ""  # why the bound is measured and not derived, if so
    factors: tuple[str, ...] = ()
    only_at: tuple[str, ...] = ()  # the problems at which it is wrong, if they are few
    where: Where | None = None
    mistakes: tuple[Explanation, ...] | None = ()  # None: the catalogue was not asked
    votes: tuple[Vote, ...] = ()
    impure: tuple[str, ...] = ()
    not_located: str = ""  # why `where` is missing from a report of a wrong pass
    blind: tuple[str, ...] = ()  # mistakes that could not show at the sizes that were given

    @property
    def right(self) -> bool:
        """Whether it agrees with autograd, in every respect."""
        return self.verdict == "agrees"

    def as_dict(self) -> dict[str, Any]:
        """Everything in it, as JSON can hold it."""
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
                    "mistakes": [{"name": m.name, "place": m.place} for m in each.mistakes],
                    "also": list(each.also),
                }
                for each in self.mistakes
            ],
            "votes": [vote._asdict() for vote in self.votes],
            "impure": list(self.impure),
            "cannot_show": list(self.blind),
        }
