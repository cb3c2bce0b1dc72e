"""Mistakes of the catalogue by their names, and the right gradients at the problems."""

import pytest

from bptt_check.error_bound import Reference
from bptt_check.networks import Problem
from bptt_check.subjects import subject_for
from tests.passes.elman_mistakes import CATALOGUE, Mistake

dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def of_name(name: str) -> Mistake:
    return next(m for m in CATALOGUE if m.name == name)


def questions(dtype: str) -> list[tuple[Problem, Reference]]:
    """The problems of the network of docs/bptt.md, with what is right."""
    subject = subject_for()
    return [(p, subject.reference(p)) for p in subject.problems(dtype, 0)]
