"""The location of a mistake in time: the first wrong cell, and what else is wrong."""

import numpy as np
import pytest

from bptt_check.judge.asking import Where
from catalogued import of_name
from judged import in_this_process, remade, subject_for
from problems import Array
from rnn_numpy import Params, bptt, forward
from rnn_numpy.elman_network.textbook import textbook
from tests.passes.elman_mistakes import planted

pytestmark = pytest.mark.unannotated  # thousands of small calls


def located(name: str, shapes: str = "any") -> Where:
    ask = remade(lambda: planted(of_name(name)), shapes)
    return subject_for(shapes=shapes).locate(ask, "float64")


def wrong(where: Where) -> Array:
    return where.cells["dU"] > 1


def test_the_recurrent_path_is_located() -> None:
    where = located("W not transposed")
    # Right at the loss's own step, wrong at every distance from one step on.
    np.testing.assert_array_equal(wrong(where), np.tril(np.ones((6, 6), bool), -1))
    assert (where.claim["loss"], where.claim["state"]) == (2, 1)


def test_truncation_is_located_as_such() -> None:
    where = located("truncation: no error travels more than 2 steps back")
    np.testing.assert_array_equal(wrong(where), np.tril(np.ones((6, 6), bool), -3))
    np.testing.assert_array_equal(where.zero["dU"][wrong(where)], True)
    assert (where.claim["loss"], where.claim["state"]) == (4, 1)


def test_the_derivative_is_located_at_the_step_itself() -> None:
    where = located("tanh's derivative")
    assert wrong(where).diagonal().all()
    assert (where.claim["loss"], where.claim["state"]) == (1, 1)


def test_a_mistake_in_one_weight_is_located_by_its_loss() -> None:
    where = located("h_{t-1} for h_t in dV")
    assert not wrong(where).any()
    assert (where.sums["dV"] > 1).all()
    where = located("dW overwritten, not accumulated")
    assert not wrong(where).any()
    assert (where.sums["dW"] > 1).tolist() == [False] + 5 * [True]


def test_inputs_reversed_in_time_are_located_at_later_states() -> None:
    where = located("inputs reversed in time")
    assert wrong(where)[0, 5]
    assert not wrong(located("batch averaged, not summed", "5,1,2,3,1")).any()


def test_one_size_is_located_by_single_steps() -> None:
    where = located("W not transposed", "5,1,2,3,1")
    np.testing.assert_array_equal(wrong(where), np.tril(np.ones((5, 5), bool), -1))


def test_a_mistake_in_the_middle_of_time_is_located_there() -> None:
    def forgets(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        """Right except for one cell: the loss at t=4 does not reach the state at t=2."""
        dU, dW, dV = textbook(x, y, U, W, V)
        if len(x) == 6:
            lost = y.copy()
            params = Params(U, W, V)
            outputs, trace = forward(params, x)
            lost[:3], lost[4:] = outputs[:3], outputs[4:]
            full, cut = (bptt(params, trace, lost, window=w).U for w in (2, 1))
            dU = dU - (full - cut)
        return dU, dW, dV

    where = subject_for().locate(in_this_process(forgets), "float64")
    assert [tuple(map(int, cell)) for cell in np.argwhere(wrong(where))] == [(3, 1)]
    assert (where.claim["loss"], where.claim["state"]) == (4, 2)
