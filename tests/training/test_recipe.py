"""Training: both packages take the steps of a naive script, and learn to add."""

import functools

import numpy as np
import pytest

import naive_recipe
from learners import ENGINES, Make, learners, taken
from profiles import NIGHTLY
from rnn_numpy import Params, forward
from rnn_numpy.tasks.addition import decode, draw_pairs, encode_pairs
from rnn_numpy.tasks.exact_sums import count
from rnn_numpy.training.recipe import Diverged, Engine, Recipe, Training, start
from rnn_numpy.training.sgd import CompiledSGD, NumPySGD
from rnn_torch.training.learners import AutogradLearner, FusedLearner


@functools.cache
def naive_weights(seed: int, steps: int) -> tuple[np.ndarray, ...]:
    return naive_recipe.train(seed, steps)


@pytest.mark.unannotated
@learners
@pytest.mark.parametrize("seed", range(10 if NIGHTLY else 1))
def test_same_seed_same_weights_as_a_naive_script(make: Make, seed: int) -> None:
    """The acceptance criterion is 1e-10 after 2,000 steps; 1e-14 is usual."""
    slow = make in (AutogradLearner, FusedLearner) and not NIGHTLY
    steps = 400 if slow else 2000
    learned = taken(make, Recipe(seed, iterations=steps)).learner.params()
    for one, other in zip(learned, naive_weights(seed, steps), strict=True):
        assert np.abs(one - other).max() < 1e-10


@pytest.mark.unannotated
@pytest.mark.parametrize("make", ENGINES if NIGHTLY else [CompiledSGD])
def test_the_trained_network_adds_all_pairs(make: Make) -> None:
    assert count(taken(make, Recipe()).learner.params(), 8) == (16384, 16384, True)


@pytest.mark.parametrize("make", [NumPySGD, AutogradLearner], ids=["numpy", "torch"])
def test_weights_so_large_that_the_forward_pass_overflows(make: Make) -> None:
    # x_t U is infinite where both bits are 1, h_{t-1} W is minus infinite right after that.
    params = Params(np.full((2, 8), 1.7e308), np.full((8, 8), -1.7e308), np.ones((8, 1)))
    learner = make(params, Recipe(bits=9, hidden=8))
    pair = np.array([[255, 255]])
    assert learner.audit(pair) is None
    with pytest.raises(Diverged):
        learner.descend(pair)
    np.testing.assert_array_equal(learner.params().W, params.W)


@learners
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("good", [0, 1, 2, 5])
def test_steps_before_a_diverging_one_are_kept(make: Make, good: int, batch: int) -> None:
    """For any number of steps in a call."""
    # The first unit keeps the output at 0, where the gradient is 0 too, unless a bit is 1: then the
    # second unit's weight gets a gradient of about 4, which this rate takes to infinity.
    params = Params(np.array([[-1e4, 0.0]] * 2), np.zeros((2, 2)), np.array([[-1e4], [0.0]]))
    recipe = Recipe(bits=64, hidden=2, learning_rate=1.7e308, batch_size=batch)
    largest = 2**63 - 1
    steps = [[0, 0]] * good + [[largest, largest]] + [[0, 0]] * 2
    pairs = np.repeat(np.array(steps), batch, axis=0)
    learner, same = make(params, recipe), make(params, recipe)
    with pytest.raises(Diverged) as raised:
        learner.descend(pairs)
    assert raised.value.steps == good
    if good:
        same.descend(pairs[: good * batch])
    for one, other in zip(learner.params(), same.params(), strict=True):
        np.testing.assert_array_equal(one, other)


@learners
@pytest.mark.parametrize("batch", [1, 4])
def test_one_step_or_many_at_once(make: Make, batch: int) -> None:
    recipe = Recipe(seed=1, iterations=50, batch_size=batch)
    (params, rng), (_, same) = start(recipe), start(recipe)
    at_once, one_by_one, other = (
        make(params, recipe),
        make(params, recipe),
        NumPySGD(params, recipe),
    )
    pairs = draw_pairs(rng, recipe.bits, 50 * batch)
    outputs = at_once.descend(pairs)
    assert np.abs(outputs - other.descend(pairs)).max() < 1e-12
    for _ in range(50):
        last = one_by_one.descend(draw_pairs(same, recipe.bits, batch))
    np.testing.assert_array_equal(outputs, last)
    for one, same_one, near in zip(
        at_once.params(), one_by_one.params(), other.params(), strict=True
    ):
        np.testing.assert_array_equal(one, same_one)
        assert np.abs(one - near).max() < 1e-12


@learners
def test_given_weights_are_not_changed(make: Make) -> None:
    recipe = Recipe(iterations=3)
    params, rng = start(recipe)
    before = Params(*(array.copy() for array in params))
    learner = make(params, recipe)
    learner.params().U[:] = 7
    learner.descend(draw_pairs(rng, recipe.bits, 3))
    for one, other in zip(params, before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not (learner.params().U == 7).any()


@learners
def test_the_log_of_a_batch_is_its_first_example_and_the_mean_loss(make: Make) -> None:
    recipe = Recipe(iterations=3, batch_size=5)
    _, record = Training(recipe, Engine("made", make)).run(3)
    assert record is not None
    params, rng = start(recipe)
    learner = make(params, recipe)
    learner.descend(draw_pairs(rng, 8, 2 * 5))
    pairs = draw_pairs(rng, 8, 5)
    x, y = encode_pairs(pairs, 8)
    outputs, _ = forward(learner.params(), x)
    assert (record.step, record.a, record.b) == (3, *pairs[0])
    assert record.said == decode(outputs)[0]
    assert record.loss == pytest.approx(np.abs(outputs - y).sum() / 5)
    assert record.parity is None or record.parity < 1


def test_events() -> None:
    """A logged step is taken separately; the training counts the steps taken so far."""
    training = Training(Recipe(iterations=100), Engine("made", NumPySGD))
    events = []
    for record in training.run(30):
        events.append((training.steps, record))
        if training.steps == 60:
            break
    assert training.status == "finished"
    first, last = training.log
    assert events == [(29, None), (30, first), (59, None), (60, last)]
    assert [record.step for record in training.log] == [30, 60]
    assert all(record.parity is None for record in training.log)


def test_pauses() -> None:
    training = Training(Recipe(iterations=100), Engine("made", NumPySGD))
    assert [training.steps for _ in training.run(60, pause_every=20)] == [20, 40, 59, 60, 80, 100]
    assert [record.step for record in training.log] == [60]
    assert not list(training.run())


@pytest.mark.unannotated
@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("seed", -1, "seed must be 0 to 4294967295, got -1"),
        ("seed", 2**32, "seed must be 0 to"),
        ("bits", 65, "bits must be 1 to 64, got 65"),
        ("bits", 8.0, "bits must be an integer, got 8.0"),
        ("iterations", -5, "iterations must be at least 0, got -5"),
        ("iterations", True, "iterations must be an integer, got True"),
        ("learning_rate", float("nan"), "learning_rate must be finite and > 0, got nan"),
        ("learning_rate", 0.0, "learning_rate must be finite and > 0, got 0.0"),
        ("dtype", "float16", "dtype must be float32 or float64, got 'float16'"),
    ],
)
def test_bad_settings(setting: str, value: object, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Recipe(**{setting: value})  # type: ignore[arg-type]
