"""Mistakes of the catalogue by their names, and the results of a pass at the problems."""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from judged import remade
from rnn_numpy.elman_network.mistakes import CATALOGUE, Mistake
from rnn_numpy.elman_network.textbook import Backward
from bptt_check.judge.asking import Asked
from rnn_torch.elman_by_hand.parity import Reference, reference
from rnn_torch.elman_by_hand.problems import Problem, Shapes, designed, random

ANY = Shapes()
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def of_name(name: str) -> Mistake:
    return next(m for m in CATALOGUE if m.name == name)


@functools.cache
def questions(dtype: str) -> list[tuple[Problem, Reference]]:
    asked = [*designed(ANY, dtype), *random(ANY, dtype, 0, 6)]
    return [(p, reference(p)) for p in asked]


def interrogated(make: Callable[[], Backward], dtype: str) -> list[Asked]:
    ask = remade(make)
    asked = []
    with np.errstate(all="ignore"):
        for problem, right in questions(dtype):
            asked.append(Asked(problem, ask(problem), right))
    return [a for a in asked if a.answer.is_finite]  # as `examine` does
