"""The textbook passes are right on every designed problem and on random ones, in both dtypes."""

from functools import cache

import numpy as np
import pytest

from bptt_check.error_bound.bound import Reference, reference
from profiles import NIGHTLY
from rnn_torch.networks import Problem, random, stock
from tests.passes import textbook
from tests.passes.stock_problems import Backward, answer, posed, used

# Thousands of small calls; in one process, which keeps what is right at each problem.
pytestmark = [pytest.mark.unannotated, pytest.mark.xdist_group("stock problems")]


@cache
def asked(name: str, dtype: str) -> list[tuple[Problem, Reference]]:
    """A third of the designed problems in float32, unless at night: only their dtype is new."""
    its = stock(name)
    drawn = [(p, reference(its, p)) for p in random(its, dtype, seed=7, count=6)]
    every = 1 if NIGHTLY or dtype == "float64" else 3
    return [*posed(name, dtype)[::every], *drawn[::every]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_they_are_right_within_rounding(name: str, dtype: str) -> None:
    backward: Backward = getattr(textbook, name)
    for problem, right in asked(name, dtype):
        got = answer(backward, problem)
        assert {gradient.dtype for gradient in got.values()} == {np.dtype(dtype)}
        assert used(got, right) <= 1, problem.name
