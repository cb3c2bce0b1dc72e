"""The exploration and the minimised machine, compared with runs of the network."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adders import TARGETS, random_params, trained
from profiles import nightly
from rnn_numpy import Params
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import GaveUp, Proved, Refuted, minimise, run_rounded
from rnn_numpy.tasks.addition import encode, from_bits
from rnn_numpy.tasks.targets import Target, addition, comparison, multiplication
from rnn_numpy.training.recipe import Dtype
from rounded_in_torch import said_by_torch


@pytest.fixture(scope="module")
def proved() -> Params:
    return trained(3)


@pytest.fixture(scope="module")
def refuted() -> Params:
    return trained(1)


def every_path(target: Target, steps: int) -> np.ndarray:
    """(steps, paths, operands): every sequence of inputs of this length."""
    paths = np.array(list(product(range(2**target.operands), repeat=steps))).T
    return (paths[..., np.newaxis] >> np.arange(target.operands) & 1).astype(float)


def right_bits(target: Target, x: np.ndarray) -> np.ndarray:
    numbers = (x * 2 ** np.arange(target.operands)).sum(axis=2).astype(int)
    return target.run(numbers)


@given(
    target=st.sampled_from(TARGETS),
    hidden=st.integers(1, 4),
    bits=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.3, 1, 5]),
    dtype=st.sampled_from(["float32", "float64"]),
)
@example(
    target=multiplication(1), hidden=2, bits=1, seed=4, scale=5, dtype="float32"
)  # back at h = 0
def test_verdicts_against_running_every_short_input(
    target: Target, hidden: int, bits: int, seed: int, scale: float, dtype: str
) -> None:
    """The exploration finds exactly the states that are reached, and the first wrong bit."""
    params = random_params(seed, target, hidden, scale, dtype)
    verdict = explore(params, bits, target)
    steps = 4 if target.operands == 2 else 8
    x = every_path(target, steps)
    outputs, states = run_rounded(params, x.astype(dtype), bits)
    states = np.concatenate([np.zeros_like(states[:1]), states])
    wrong = (outputs[..., 0] > 0.5) != right_bits(target, x)
    first = int(np.argmax(wrong.any(axis=1))) + 1 if wrong.any() else None
    sure = len(verdict.machine.branches) == 0 and verdict.margin > verdict.margin_error
    if isinstance(verdict, Refuted) and sure:
        assert first == (verdict.depth if verdict.depth <= steps else None)
        assert verdict.example.said != verdict.example.right
    elif isinstance(verdict, Proved):
        assert first is None
    reached = {row.tobytes() for row in states.reshape(-1, hidden)}
    known = {row.tobytes() for row in (verdict.machine.levels * 2.0**-bits).astype(dtype)}
    depth = verdict.depth if first is None else first - 1
    shallow = {row.tobytes() for row in states[: depth + 1].reshape(-1, hidden)}
    assert shallow <= known
    if isinstance(verdict, Proved):
        assert reached <= known


def test_a_proved_adder_has_the_states_of_the_carry(proved: Params) -> None:
    verdict = explore(proved, 5)
    assert (verdict.status, verdict.states, verdict.depth) == ("proved", 4020, 18)
    assert verdict.margin > verdict.margin_error > 0
    assert verdict.tie_distance > verdict.tie_error > 0
    minimal = minimise(verdict.machine)
    np.testing.assert_array_equal(minimal.next, addition.next)
    np.testing.assert_array_equal(minimal.output, addition.output)
    # The class of each state is the carry that led there: found, not assumed.
    np.testing.assert_array_equal(minimal.classes, verdict.machine.task)


def operands(bits: int) -> list[tuple[int, int]]:
    """Random and adversarial ones."""
    rng = np.random.default_rng(bits)
    ones, alternating = 2**bits - 1, int("10" * bits, 2) % 2**bits
    randoms = [int.from_bytes(rng.bytes(bits // 8 + 1), "little") % 2**bits for _ in range(6)]
    return [(ones, 1), (1, ones), (ones, ones), (0, 0), (alternating, alternating),
            (alternating, ones - alternating), (ones - 1, 2), (ones ^ 2 ** (bits // 2), 3),
            *zip(randoms[::2], randoms[1::2], strict=True)]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bits", [1, 9, 200, pytest.param(4096, marks=nightly)])
def test_a_proved_adder_adds_whatever_the_order_of_summation(bits: int, dtype: Dtype) -> None:
    params = trained(3, dtype)
    assert explore(params, 5).status == "proved"
    a, b = zip(*operands(bits), strict=True)
    x, y = encode(a, b, bits + 1, dtype)
    order = np.random.default_rng(0).permutation(len(params.W))
    U, W, V = params
    permuted = Params(U[:, order], W[order][:, order], V[order])
    for weights in (params, permuted):
        outputs, _ = run_rounded(weights, x, 5)
        np.testing.assert_array_equal(outputs > 0.5, y > 0.5)
        np.testing.assert_array_equal(said_by_torch(weights, x, 5), y[..., 0] > 0.5)


def test_float32_follows_both_sides_of_a_tie() -> None:
    params = trained(3, "float32")
    verdict = explore(params, 5)
    assert verdict.status == "proved"
    assert verdict.tie_distance < verdict.tie_error
    assert len(verdict.machine.branches) > 0
    source, number, other = verdict.machine.branches.T
    main = verdict.machine.next[source, number]
    apart = np.abs(verdict.machine.levels[main].astype(int) - verdict.machine.levels[other])
    assert (apart.max(axis=1) == 1).all()
    np.testing.assert_array_equal(minimise(verdict.machine).next, addition.next)


def test_a_tie_that_decides_an_output_gives_no_verdict() -> None:
    """sigmoid(log 3) = 3/4 is a tie between 1/2 and 1, and the output depends on the rounding."""
    params = Params(np.array([[np.log(3), 0], [0, 0]]), np.zeros((2, 2)), np.array([[1.0], [-1.5]]))
    verdict = explore(params, 1, comparison)
    assert verdict.tie_distance <= verdict.tie_error
    assert len(verdict.machine.branches) > 0
    assert isinstance(verdict, GaveUp)
    assert verdict.reasons == ("tie",)
    # Followed to the end all the same: the states of both sides are there.
    levels = {tuple(row) for row in verdict.machine.levels.tolist()}
    assert levels == {(0, 0), (1, 1), (2, 1)}


def test_a_refutation_is_the_shortest(refuted: Params) -> None:
    verdict = explore(refuted, 5)
    assert isinstance(verdict, Refuted)
    example = verdict.example
    a, b = example.operands
    assert example.right == a + b != example.said
    # Run by torch too.
    x, _ = encode([a], [b], example.steps)
    assert from_bits(said_by_torch(refuted, x, 5)) == [example.said]
    # No shorter sum fails: all states that shorter sums lead to are found, and none is wrong.
    steps = 7
    assert verdict.depth == 10 > steps
    x = every_path(addition, steps)
    outputs, _ = run_rounded(refuted, x, 5)
    np.testing.assert_array_equal(outputs[..., 0] > 0.5, right_bits(addition, x))


def test_limit(proved: Params) -> None:
    assert explore(proved, 5, limit=4020).status == "proved"
    verdict = explore(proved, 5, limit=4019)
    assert isinstance(verdict, GaveUp)
    assert (verdict.reasons, verdict.limit) == (("limit",), 4019)
    with pytest.raises(ValueError, match="limit must be at least 1 state, got 0"):
        explore(proved, 5, limit=0)
    with pytest.raises(ValueError, match="explored to the end"):
        minimise(verdict.machine)


def test_weights_that_do_not_fit_the_target(proved: Params) -> None:
    with pytest.raises(ValueError, match="multiplication:3 needs 1 inputs and 1 output, these"):
        explore(proved, 5, multiplication(3))
