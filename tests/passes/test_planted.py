"""The textbook passes are right within rounding, and each planted mistake is wrong by more."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from bptt_check.error_bound.bound import Reference, reference
from profiles import NIGHTLY
from rnn_torch.networks import Problem, random, stock
from tests.passes import textbook
from tests.passes.planted import KNOWN, PAIRS, PLANTED, STRANGE, Planted, made
from tests.passes.stock_problems import Backward, answer, first_wrong, posed, used

# Thousands of small calls; in one process, which keeps what is right at each problem.
pytestmark = [pytest.mark.unannotated, pytest.mark.xdist_group("stock problems")]
EVERY = [*((one,) for one in [*PLANTED, *STRANGE]), *PAIRS]


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


@pytest.mark.parametrize("network", ["tanh", "gru", "lstm"])
def test_each_mistake_is_wrong_on_a_designed_problem(network: str) -> None:
    unseen = [
        " and ".join(one.mistake for one in mistakes)
        for mistakes in EVERY
        if mistakes[0].network == network and not first_wrong(network, made(*mistakes))
    ]
    assert unseen == []


def test_the_tables_are_as_long_as_they_should_be() -> None:
    assert min(Counter(one.network for one in PLANTED).values()) >= 35
    assert {one.network for one in STRANGE} == {pair[0].network for pair in PAIRS}
    assert Counter(one.network for one in KNOWN) == {"lstm": 15}
    names = Counter((one.network, one.where, one.mistake) for one in [*PLANTED, *STRANGE])
    assert names.most_common(1)[0][1] == 1


def test_a_mistake_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="must be there once"):
        made(Planted("tanh", "h", "not in the text", "dh_next @ V", "0"))
