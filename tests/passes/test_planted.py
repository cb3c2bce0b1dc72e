"""Every planted mistake fits the text once, runs, and is wrong by more than rounding allows."""

from collections import Counter

import pytest

from tests.passes.planted import KNOWN, PAIRS, PLANTED, STRANGE, Planted, made
from tests.passes.stock_problems import first_wrong

# Thousands of small calls; in one process, which keeps what is right at each problem.
pytestmark = [pytest.mark.unannotated, pytest.mark.xdist_group("stock problems")]
EVERY = [*((one,) for one in [*PLANTED, *STRANGE]), *PAIRS]


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
