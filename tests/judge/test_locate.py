"""The location of a mistake in time: the first wrong cell, and what else is wrong."""

from typing import Any

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
SIZES = "5,1,2,3,1"
BACK, LATER = np.tril(np.ones((6, 6), bool), -1), np.tril(np.ones((6, 6), bool), -3)

#: The wrong cells of dU, or only the wrong sums; the sizes; the loss and the state that are named.
MISTAKES: dict[str, tuple[Any, str, tuple[int, int] | None]] = {
    "W not transposed": (BACK, "any", (2, 1)),  # right at the loss's own step
    "truncation: no error travels more than 2 steps back": (LATER, "any", (4, 1)),
    "tanh's derivative": (np.eye(6, dtype=bool), "any", (1, 1)),
    "h_{t-1} for h_t in dV": ({"dV": 6 * [True]}, "any", None),
    "dW overwritten, not accumulated": ({"dW": [False] + 5 * [True]}, "any", None),
    "batch averaged, not summed": (np.zeros((5, 5), bool), SIZES, None),
}


def located(name: str, shapes: str = "any") -> Where:
    ask = remade(lambda: planted(of_name(name)), shapes)
    return subject_for(shapes=shapes).locate(ask, "float64")


def wrong(where: Where) -> Array:
    return where.cells["dU"] > 1


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_located(name: str) -> None:
    expected, shapes, claim = MISTAKES[name]
    where = located(name, shapes)
    if isinstance(expected, dict):
        assert not wrong(where).any()
        assert {n: (where.sums[n] > 1).tolist() for n in expected} == expected
    elif claim == (1, 1):  # wrong at every step, and so mostly further back
        assert wrong(where).diagonal().all()
    else:
        np.testing.assert_array_equal(wrong(where), expected)
    if claim == (4, 1):
        np.testing.assert_array_equal(where.zero["dU"][wrong(where)], True)
    if claim:
        assert (where.claim["loss"], where.claim["state"]) == claim


def test_inputs_reversed_in_time_are_located_at_later_states() -> None:
    assert wrong(located("inputs reversed in time", SIZES))[0, 4]


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
