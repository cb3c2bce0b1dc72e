"""The recipe's loop, compiled and in NumPy, and many networks in parallel."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agreement import assert_gradients
from problems import Array
from rnn_numpy import Params, bounds, bptt, forward
from rnn_numpy.tasks.addition import draw_pairs, encode_pairs
from rnn_numpy.tasks.exact_sums import Count, count, count_exact, count_exact_compiled
from rnn_numpy.training import recipe
from rnn_numpy.training.many import Trained, counted_steps, train, train_many
from rnn_numpy.training.recipe import Recipe, start
from rnn_numpy.training.sgd import MOST_HIDDEN_COMPILED, CompiledSGD, NumPySGD, numpy_learner

Engine = type[NumPySGD | CompiledSGD]
engines = pytest.mark.parametrize("engine", [NumPySGD, CompiledSGD])
sizes = {
    "seed": st.integers(0, 2**32 - 1),
    "bits": st.integers(1, 12) | st.just(64),
    "hidden": st.integers(1, 20) | st.sampled_from([32, 33]),
    "dtype": st.sampled_from(["float32", "float64"]),
    "scale": st.sampled_from([0.01, 1.0, 8.0]),
}
batches = st.sampled_from([1, 1, 2, 3, 7])


def drawn(recipe: Recipe, scale: float) -> tuple[Params, Array]:
    params, rng = start(recipe)
    scaled = Params(*(np.asarray(scale * array, recipe.dtype) for array in params))
    return scaled, draw_pairs(rng, recipe.bits, recipe.batch_size)


@engines
@given(batch=batches, **sizes)
def test_its_gradient_is_that_of_bptt(
    engine: type[NumPySGD | CompiledSGD],
    seed: int,
    bits: int,
    hidden: int,
    dtype: str,
    scale: float,
    batch: int,
) -> None:
    recipe = Recipe(seed, bits, hidden, dtype=dtype, batch_size=batch)  # type: ignore[arg-type]
    params, pairs = drawn(recipe, scale)
    x, y = (array.transpose(1, 0, 2) for array in encode_pairs(pairs, bits, dtype))
    expected = bptt(params, forward(params, x)[1], y)
    before = [array.copy() for array in params]
    gradient = engine(params, bits, 0.1, batch).gradient(pairs)
    assert_gradients(gradient, expected, bounds(params, x, y).params)
    for one, other in zip(params, before, strict=True):
        np.testing.assert_array_equal(one, other)


@engines
@given(batch=batches, **sizes)
def test_a_step_descends_its_gradient_and_gives_the_outputs(
    engine: type[NumPySGD | CompiledSGD],
    seed: int,
    bits: int,
    hidden: int,
    dtype: str,
    scale: float,
    batch: int,
) -> None:
    recipe = Recipe(seed, bits, hidden, dtype=dtype, batch_size=batch)  # type: ignore[arg-type]
    params, pairs = drawn(recipe, scale)
    before = Params(*(array.copy() for array in params))
    network = engine(params, bits, 0.5, batch)
    gradient = network.gradient(pairs)
    outputs = network.descend(pairs)
    x, y = (array.transpose(1, 0, 2) for array in encode_pairs(pairs, bits, dtype))
    allowed = bounds(before, x, y)
    unit = np.finfo(dtype).eps / 2
    for weight, old, slope, bound in zip(params, before, gradient, allowed.params, strict=True):
        # The gradient may be added to the weight in parts, each rounded: for a bit and example.
        limit = bound + (bits * batch + 4) * unit * (np.abs(old) + np.abs(slope) + bound)
        assert (np.abs(weight - (old - 0.5 * slope)) <= limit + np.finfo(dtype).tiny).all()
    assert (np.abs(outputs - forward(before, x)[0]) <= 2 * allowed.outputs).all()


@given(**sizes)
def test_both_counts_agree(seed: int, bits: int, hidden: int, dtype: str, scale: float) -> None:
    """Unless rounding decides an output: of a state near 0 all are near 1/2."""
    bits = min(bits, 5)
    params, _ = drawn(Recipe(seed, bits, hidden, dtype=dtype), scale)  # type: ignore[arg-type]
    pairs = np.indices(2 * (2 ** (bits - 1),)).reshape(2, -1).T
    x, y = (array.transpose(1, 0, 2) for array in encode_pairs(pairs, bits, dtype))
    near = 2 * bounds(params, x, y).outputs
    assume((np.abs(forward(params, x)[0] - 0.5) > near).all())
    assert count_exact_compiled(params, bits) == counted(params, bits)


def counted(params: Params, bits: int) -> Count:
    def advance(h: Array, x: Array) -> tuple[Array, Array]:
        outputs, trace = forward(params, x, h)
        return outputs, trace.states[1]

    return count_exact(advance, len(params.W), bits, params.W.dtype)


@pytest.mark.unannotated
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counting_while_it_learns(dtype: str) -> None:
    """From no exact sum to all, so that prefixes are dropped at every bit."""
    recipe = Recipe(seed=3, bits=6, dtype=dtype)  # type: ignore[arg-type]
    params, rng = start(recipe)
    network = CompiledSGD(params, recipe.bits, recipe.learning_rate)
    seen = set()
    for _ in range(12):
        network.descend(draw_pairs(rng, recipe.bits, 600))
        found = count_exact_compiled(params, recipe.bits)
        assert found == counted(params, recipe.bits)
        assert found == count(params, recipe.bits)
        seen.add(found.exact)
    assert len(seen) > 4
    assert max(seen) == 4**5


@engines
def test_an_incomplete_batch(engine: Engine) -> None:
    params, rng = start(Recipe())
    with pytest.raises(ValueError, match="the number of pairs must be a multiple of 3, got 8"):
        engine(params, 8, 0.1, 3).descend(draw_pairs(rng, 8, 8))


def test_too_many_bits_to_count() -> None:
    params, _ = start(Recipe(bits=13))
    with pytest.raises(ValueError, match="bits must be at most 12, got 13"):
        count_exact_compiled(params, 13)
    assert not count(params, 13).exhaustive


def test_the_default_engine() -> None:
    small, _ = start(Recipe())
    wide = Recipe(hidden=MOST_HIDDEN_COMPILED + 1)
    large, _ = start(wide)
    assert numpy_learner(small, Recipe()).engine == "compiled"
    assert numpy_learner(large, wide).engine == "numpy"
    assert numpy_learner(small, Recipe(), "numpy").engine == "numpy"
    assert numpy_learner(large, wide, "compiled").engine == "compiled"
    with pytest.raises(ValueError, match=r"W must be C-contiguous: pass np.ascontiguousarray\(W\)"):
        CompiledSGD(small._replace(W=small.W.T), 8, 0.1)


def test_counted_steps() -> None:
    for iterations, steps in {10: [4, 8, 10], 8: [4, 8], 0: [0]}.items():
        assert list(counted_steps(Recipe(iterations=iterations), 4)) == steps
    assert next(counted_steps(Recipe(iterations=10**15), 1)) == 1  # and not all of them at once


@pytest.mark.unannotated
@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_parallel_training_equals_sequential_training(engine: str) -> None:
    recipes = [Recipe(seed, 4, 6, 700) for seed in range(9)]
    alone = [train(recipe, 300, engine) for recipe in recipes]
    together = list(train_many(recipes, 300, engine, threads=3))
    assert sorted(together, key=lambda t: t.recipe.seed) == alone
    assert alone[0].steps == [300, 600, 700]
    # The weights counted are those of the train command, at the same step.
    params, rng = start(recipes[0])
    NumPySGD(params, 4, 0.1).descend(draw_pairs(rng, 4, 700))
    assert alone[0].exact[-1] == counted(params, 4).exact


@pytest.mark.unannotated
def test_a_stop_waits_for_networks_in_training() -> None:
    seen: list[Trained] = []
    recipes = [Recipe(seed, 3, 4, 50) for seed in range(50)]
    for result in train_many(recipes, 50, stop=lambda: len(seen) >= 3):
        seen.append(result)
    assert 3 <= len(seen) < 20
    assert all(result.steps == [50] for result in seen)


@pytest.mark.unannotated
@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_a_diverging_network_does_not_affect_the_others(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The output is 1/2 where a bit is 1, so that the second unit's weight gets a gradient of -1.1.
    params = Params(np.array([[-1e4, 100.0]] * 2), np.zeros((2, 2)), np.array([[-1e4], [0.0]]))
    ones = np.full((30, 2), 2**11 - 1)

    def same(recipe: Recipe) -> tuple[Params, np.random.RandomState]:
        return Params(*(array.copy() for array in params)), np.random.RandomState(0)

    monkeypatch.setattr(recipe, "start", same)
    monkeypatch.setattr(recipe, "draw_pairs", lambda rng, bits, steps: ones[:steps])
    recipes = [Recipe(0, 12, 2, 30, rate) for rate in (0.1, 1.7e308)]
    results = sorted(train_many(recipes, 30, engine), key=lambda t: t.recipe.learning_rate)
    assert [r.status for r in results] == ["finished", "diverged"]
    assert results[0].steps == [30]
    assert results[1].steps == []
