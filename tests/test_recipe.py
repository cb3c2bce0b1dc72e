"""Training: both packages take the same steps as a naive script, and learn to add."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_recipe
from agreement import assert_gradients
from rnn_numpy import Params, bounds, bptt, forward
from rnn_numpy.addition import count_exact, decode, encode, random_example
from rnn_numpy.recipe import Diverged, Learner, Recipe, Record, run, start
from rnn_numpy.train import NumPyLearner
from rnn_torch.train import AutogradLearner

LEARNERS: list[Callable[[Params, float], Learner]] = [NumPyLearner, AutogradLearner]
learners = pytest.mark.parametrize("make", LEARNERS, ids=["numpy", "torch"])


def once(test: Callable[..., None]) -> Callable[..., None]:
    """In one process, so that each network is trained once; without annotations, for speed."""
    return pytest.mark.xdist_group("trained")(pytest.mark.unannotated(test))


@functools.cache
def trained(make: Callable[[Params, float], Learner], recipe: Recipe) -> Learner:
    params, rng = start(recipe)
    learner = make(params, recipe.learning_rate)
    assert run(recipe, learner, rng).status == "finished"
    return learner


@learners
@pytest.mark.parametrize("seed", range(10))
def test_same_seed_same_weights_as_a_naive_script(
    make: Callable[[Params, float], Learner], seed: int
) -> None:
    """The acceptance figure of the project is 1e-10 after 2,000 steps; 1e-14 is usual."""
    naive = naive_recipe.train(seed, 2000)
    for one, other in zip(
        trained(make, Recipe(seed, iterations=2000)).params(), naive, strict=True
    ):
        assert np.abs(one - other).max() < 1e-10


@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(1, 4),
    hidden=st.integers(1, 3),
    dtype=st.sampled_from(["float32", "float64"]),
    learning_rate=st.sampled_from([0.01, 0.1]),
)
@settings(max_examples=10)
def test_100_steps_from_equal_weights_stay_equal(
    seed: int, bits: int, hidden: int, dtype: str, learning_rate: float
) -> None:
    """The bound is carried through the training: no tolerance here either."""
    recipe = Recipe(seed, bits, hidden, 100, learning_rate, dtype)  # type: ignore[arg-type]
    params, rng = start(recipe)
    one, other = NumPyLearner(params, learning_rate), AutogradLearner(params, learning_rate)
    unit_roundoff = np.finfo(dtype).eps / 2
    allowed = Params(*(np.zeros(p.shape) for p in params))
    for _ in range(100):
        _, _, x, y = random_example(rng, bits, dtype)
        before = one.params()
        # How far weights that are `allowed` off may be after p - learning_rate * g, rounded twice.
        gradient = bptt(before, forward(before, x)[1], y)
        gradient_error = bounds(before, x, y, params_error=allowed).params
        allowed = Params(
            *(
                (e + learning_rate * ge) * (1 + 4 * unit_roundoff)
                + 3 * unit_roundoff * (np.abs(p) + learning_rate * np.abs(g, dtype=np.float64))
                for p, g, e, ge in zip(before, gradient, allowed, gradient_error, strict=True)
            )
        )
        one.step(x, y)
        other.step(x, y)
        assert_gradients(one.params(), other.params(), allowed)
    # The bound must still be able to tell: in float64 it is far below what the weights moved by.
    moved = max(np.abs(p - q).max() for p, q in zip(one.params(), params, strict=True))
    if dtype == "float64":
        assert max(e.max() for e in allowed) < 1e-3 * moved


@once
@learners
def test_the_trained_network_adds_all_pairs(make: Callable[[Params, float], Learner]) -> None:
    assert count_exact(trained(make, Recipe()).predict, 8) == (16384, 16384, True)


@once
@learners
@given(a=st.integers(0, 127), b=st.integers(0, 127))
def test_the_trained_network_adds(make: Callable[[Params, float], Learner], a: int, b: int) -> None:
    assert decode(trained(make, Recipe()).predict(encode([a], [b], 8)[0])) == [a + b]


@learners
def test_a_diverging_step_keeps_the_last_finite_weights(
    make: Callable[[Params, float], Learner],
) -> None:
    # Sigmoids saturate, so that it takes an extreme rate to overflow at all.
    recipe = Recipe(seed=6, bits=64, hidden=4, learning_rate=3e38, iterations=5, dtype="float32")
    params, rng = start(recipe)
    learner = make(params, recipe.learning_rate)
    result = run(recipe, learner, rng)
    assert (result.status, result.steps) == ("diverged", 0)
    for kept, initial in zip(learner.params(), params, strict=True):
        np.testing.assert_array_equal(kept, initial)


@learners
def test_weights_so_large_that_the_forward_pass_overflows(
    make: Callable[[Params, float], Learner],
) -> None:
    # x_t U is infinite where both bits are 1, h_{t-1} W is minus infinite right after that.
    params = Params(np.full((2, 4), 1.7e308), np.full((4, 4), -1.7e308), np.ones((4, 1)))
    learner = make(params, 0.1)
    x, y = encode([255], [255], 9)
    assert np.isnan(learner.predict(x)).any()
    assert not learner.audited or learner.parity(x, y) is None
    with pytest.raises(Diverged):
        learner.step(x, y)
    np.testing.assert_array_equal(learner.params().W, params.W)


def test_log_and_stop() -> None:
    recipe = Recipe(iterations=100)
    params, rng = start(recipe)
    steps: list[int] = []
    records: list[Record] = []
    result = run(
        recipe,
        NumPyLearner(params, 0.1),
        rng,
        log_every=30,
        on_record=records.append,
        on_step=lambda: steps.append(1),
        stop=lambda: len(steps) == 70,
    )
    assert (result.status, result.steps, len(steps)) == ("interrupted", 70, 70)
    assert [r.step for r in result.log] == [30, 60]
    assert result.log == records
    assert all(r.parity is None for r in result.log)


@pytest.mark.unannotated
@pytest.mark.parametrize(
    ("setting", "value", "error", "message"),
    [
        ("seed", -1, ValueError, "seed must be 0 to 4294967295, got -1"),
        ("seed", 2**32, ValueError, "seed must be 0 to"),
        ("bits", 0, ValueError, "bits must be 1 to 64, got 0"),
        ("bits", 65, ValueError, "bits must be 1 to 64, got 65"),
        ("bits", 8.0, TypeError, "bits must be an integer, got 8.0"),
        ("hidden", 0, ValueError, "hidden must be 1 to 16384, got 0"),
        ("iterations", -5, ValueError, "iterations must be at least 0, got -5"),
        ("iterations", True, TypeError, "iterations must be an integer, got True"),
        (
            "learning_rate",
            float("nan"),
            ValueError,
            "learning_rate must be finite and > 0, got nan",
        ),
        (
            "learning_rate",
            float("inf"),
            ValueError,
            "learning_rate must be finite and > 0, got inf",
        ),
        ("learning_rate", 0.0, ValueError, "learning_rate must be finite and > 0, got 0.0"),
        ("dtype", "float16", ValueError, "dtype must be float32 or float64, got 'float16'"),
    ],
)
def test_bad_settings(setting: str, value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recipe(**{setting: value})  # type: ignore[arg-type]
