"""Which values of a pass are quantities of the right one, and what a line shows."""

import numpy as np

from bptt_check.editing.quantities import Quantities

RNG = np.random.default_rng(0)
GATES, STEPS = RNG.normal(size=(3, 8)), RNG.normal(size=(5, 3, 4))


def test_axes_and_steps_in_any_order_and_gates_in_their_own() -> None:
    its = Quantities([[GATES], [STEPS]])
    assert its.same(GATES.T) == its.same(GATES.reshape(1, 3, 8)) == 0
    assert its.same(STEPS[::-1]) == its.same(STEPS.transpose(1, 0, 2).reshape(15, 4)) == 1
    assert its.same(GATES * (1 + 1e-12)) == 0
    assert its.same(np.concatenate([GATES[:, 4:], GATES[:, :4]], 1)) is None
    assert its.same(-GATES) is None


def test_what_holds_all_steps_holds_each() -> None:
    its = Quantities([[STEPS], *([step] for step in STEPS)])
    assert its.with_rows(0) == {0, 1, 2, 3, 4, 5}
    assert its.with_rows(1) == {1}


def test_partial_sums_are_one_quantity() -> None:
    its = Quantities([[*np.cumsum(STEPS, 0)], [GATES]])
    assert its.count(range(6)) == 2
