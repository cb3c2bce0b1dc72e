"""The location of a mistake in time: the first wrong cell, and the operation there."""

from typing import Any

import numpy as np
import pytest

from catalogued import ANY, of_name
from judged import in_this_process, remade
from problems import Array
from rnn_numpy import Params, bptt, forward
from rnn_numpy.elman_network.mistakes import planted
from rnn_numpy.elman_network.textbook import textbook
from bptt_check.judge.asking import Where
from rnn_torch.elman_by_hand.locate import locate
from rnn_torch.elman_by_hand.problems import RECIPE, Shapes

pytestmark = pytest.mark.unannotated  # thousands of small calls


def located(name: str, shapes: Shapes = ANY, window: int | None = None) -> Any:
    return locate(remade(lambda: planted(of_name(name))), shapes, "float64", window)


def wrong(where: Where) -> Array:
    return where.cells["delta"] > 1


def test_the_recurrent_path_is_located() -> None:
    where = located("W not transposed")
    # Right at the loss's own step, wrong at every distance from one step on.
    np.testing.assert_array_equal(wrong(where), np.tril(np.ones((6, 6), bool), -1))
    assert where.words == (
        "right at the loss's own step; first wrong one step back, "
        "loss t=2 -> state t=1: the recurrent path (7)"
    )


def test_truncation_is_located_as_such() -> None:
    where = located("truncation: no error travels more than 2 steps back")
    np.testing.assert_array_equal(wrong(where), np.tril(np.ones((6, 6), bool), -3))
    np.testing.assert_array_equal(where.zero["delta"][wrong(where)], True)
    assert (
        "right up to 2 steps back; first wrong 3 steps back, loss t=4 -> state t=1" in where.words
    )
    assert "no error is passed further back" in where.words


def test_the_derivative_is_located_at_the_step_itself() -> None:
    where = located("tanh's derivative")
    assert wrong(where).diagonal().all()
    assert "wrong at the loss's own step" in where.words


def test_a_mistake_in_one_weight_is_located_by_its_loss() -> None:
    where = located("h_{t-1} for h_t in dV")
    assert not wrong(where).any()
    assert (where.sums["dV"] > 1).all()
    assert where.words == "every delta_t is right; dV is wrong from the loss at t=1 on (11)"
    where = located("dW overwritten, not accumulated")
    assert where.words == "every delta_t is right; dW is wrong from the loss at t=2 on (10)"


def test_inputs_reversed_in_time_are_located_at_later_states() -> None:
    where = located("inputs reversed in time")
    assert wrong(where)[0, 5]
    assert not wrong(located("batch averaged, not summed", Shapes(RECIPE))).any()


def test_one_size_is_located_by_single_steps() -> None:
    where = located("W not transposed", Shapes(RECIPE))
    np.testing.assert_array_equal(wrong(where), np.tril(np.ones((8, 8), bool), -1))


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

    where = locate(in_this_process(forgets), ANY, "float64", None)
    assert [tuple(map(int, cell)) for cell in np.argwhere(wrong(where))] == [(3, 1)]
    assert "first wrong 2 steps back, loss t=4 -> state t=2" in where.words
