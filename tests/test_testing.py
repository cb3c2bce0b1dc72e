"""`rnn_torch.testing`: what a contributor's own tests use."""

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems import Array
from rnn_numpy.mistakes import CATALOGUE, planted
from rnn_numpy.textbook import textbook
from rnn_torch.candidate import CannotCheck
from rnn_torch.problems import Shapes, Sizes, designed, problem
from rnn_torch.testing import Problem, assert_gradient_parity, problems

pytestmark = pytest.mark.unannotated
wrong = planted(CATALOGUE[1])  # W not transposed


@given(problems())
def test_the_three_lines_of_the_readme(problem: Problem) -> None:
    assert_gradient_parity(textbook, problem)


@given(problems("float32", corners=False))
def test_the_dtype_can_be_chosen(problem: Problem) -> None:
    assert problem.dtype == "float32"
    assert problem.name in ("generated", "strong")


def test_a_wrong_pass_turns_the_three_lines_red() -> None:
    @settings(database=None)
    @given(problems("float64"))
    def my_test(problem: Problem) -> None:
        assert_gradient_parity(wrong, problem)

    with pytest.raises(AssertionError) as error:
        my_test()
    # The failing problem's own entries first, then the screen of the command.
    assert str(error.value).startswith("worst entry")
    assert "It behaves exactly like: W not transposed" in str(error.value)
    assert "first wrong one step back, loss t=2 -> state" in " ".join(str(error.value).split())


def test_without_problems_the_designed_ones_are_asked() -> None:
    assert_gradient_parity(textbook)
    assert_gradient_parity(textbook, dtype="float32")
    with pytest.raises(AssertionError, match="It behaves exactly like: W not transposed"):
        assert_gradient_parity(wrong)


def test_weak_problems_are_warned_of() -> None:
    weak = [problem(seed, Sizes(1, 1, 2, 3, 1)) for seed in range(3)]
    with pytest.warns(UserWarning, match="cannot tell from the truth: recurrent term dropped"):
        assert_gradient_parity(textbook, weak)
    with pytest.warns(UserWarning, match="W not transposed"):
        assert_gradient_parity(wrong, weak)  # so it passes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_gradient_parity(textbook, designed(Shapes(), "float64"))


@given(st.sampled_from(["first", "second"]))
@settings(max_examples=2)
def test_impurity_and_nonsense_are_failures(which: str) -> None:
    def mutates(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        result = textbook(x, y, U, W, V)
        y[:] = 0
        return result

    one = problem(0, Sizes(3, 1, 2, 3, 1))
    with pytest.raises(AssertionError, match="y is changed in place"):
        assert_gradient_parity(mutates, one)
    with pytest.raises(CannotCheck, match="must return"):
        assert_gradient_parity(lambda *_: which, one)  # type: ignore[arg-type]


def test_a_window() -> None:
    local = planted(next(m for m in CATALOGUE if m.name == "only the local delta passed on"))
    one = problem(0, Sizes(6, 2, 2, 3, 2))
    assert_gradient_parity(local, one, window=1)
    with pytest.raises(AssertionError):
        assert_gradient_parity(local, one, window=2)
