"""The benchmark of other checkers: large mistakes, small mistakes, right passes."""

import pytest

from benchmarks.trust import judge_others
from benchmarks.trust.judge_others import Forward, Verdict, asked, by_gradcheck, numerical_vjp, ours
from tests.passes import textbook
from tests.passes.planted import PLANTED, Planted, made

pytestmark = pytest.mark.unannotated  # thousands of small calls


def plant(words: str) -> Planted:
    return next(one for one in PLANTED if (one.network, one.mistake) == ("tanh", words))


@pytest.fixture(scope="module")
def forward() -> Forward:
    return Forward("tanh")


@pytest.mark.parametrize("ask", [by_gradcheck, numerical_vjp(rtol=1e-5, atol=1e-5)])
def test_what_other_checkers_detect(ask: judge_others.Ask, forward: Forward) -> None:
    plain, small = (
        plant("W is not transposed on the way back"),
        plant("the states are kept in float32"),
    )
    assert ask(made(plain), forward).caught
    assert not ask(made(small), forward).caught
    assert not ask(textbook.tanh, forward).caught


def test_gradcheck_names_an_argument(forward: Forward) -> None:
    two = [
        (plant("dV is overwritten at every step"),),
        (plant("the square is forgotten in tanh's derivative"),),
    ]
    assert asked(by_gradcheck, forward, two) == {"asked": 2, "caught": 2, "located": 1, "named": 0}
    assert [by_gradcheck(made(*one), forward).blamed for one in two] == ["dV", "dx"]


def test_how_ours_is_counted(forward: Forward) -> None:
    assert ours(textbook.tanh, forward) == Verdict(False)
    planted = plant("dV is overwritten at every step")
    found = asked(ours, forward, [(planted,)])
    assert (found["caught"], found["located"], found["named"]) == (1, 1, 1)
