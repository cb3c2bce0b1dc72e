"""The recipe's loop, compiled and in NumPy, and many networks in parallel."""

from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agreement import assert_gradients
from problems import Array
from rnn_numpy import Params, bounds, bptt, forward
from rnn_numpy.tasks.addition import draw_pairs, encode_pairs
from rnn_numpy.tasks.exact_sums import advance, count, count_exact, count_exact_compiled
from rnn_numpy.training import recipe
from rnn_numpy.training.many import Trained, train, train_many
from rnn_numpy.training.recipe import Recipe, start
from rnn_numpy.training.sgd import CompiledSGD, NumPySGD

sizes = {
    "seed": st.integers(0, 2**32 - 1),
    "bits": st.integers(1, 12) | st.just(64),
    "hidden": st.integers(1, 20) | st.sampled_from([32, 33]),
    "dtype": st.sampled_from(["float32", "float64"]),
    "scale": st.sampled_from([0.01, 1.0, 8.0]),
}


def drawn(recipe: Recipe, scale: float) -> tuple[Params, Array]:
    params, rng = start(recipe)
    scaled = Params(*(np.asarray(scale * array, recipe.dtype) for array in params))
    return scaled, draw_pairs(rng, recipe.bits, recipe.batch_size)


@pytest.mark.parametrize("engine", [NumPySGD, CompiledSGD])
@given(batch=st.sampled_from([1, 1, 2, 3, 7]), **sizes)
def test_a_step_descends_the_gradient_of_bptt_and_gives_the_outputs(
    engine: type[NumPySGD], seed: int, bits: int, hidden: int, dtype: str, scale: float, batch: int
) -> None:
    recipe = Recipe(seed, bits, hidden, 1, 0.5, dtype, batch)  # type: ignore[arg-type]
    params, pairs = drawn(recipe, scale)
    x, y = encode_pairs(pairs, bits, dtype)
    outputs, trace = forward(params, x)
    allowed, network = bounds(params, x, y), engine(params, recipe)
    gradient = network.gradient(pairs)
    assert_gradients(gradient, bptt(params, trace, y), allowed.params)
    for one, other in zip(params, network.params(), strict=True):
        np.testing.assert_array_equal(one, other)
    said, unit = network.descend(pairs), np.finfo(dtype).eps / 2
    assert (np.abs(said - outputs) <= 2 * allowed.outputs).all()
    for weight, old, slope, bound in zip(
        network.params(), params, gradient, allowed.params, strict=True
    ):
        # The gradient may be added to the weight in parts, each rounded: for a bit and example.
        limit = bound + (bits * batch + 4) * unit * (np.abs(old) + np.abs(slope) + bound)
        assert (np.abs(weight - (old - 0.5 * slope)) <= limit + np.finfo(dtype).tiny).all()


@given(**sizes)
def test_both_counts_agree(seed: int, bits: int, hidden: int, dtype: str, scale: float) -> None:
    """Unless rounding decides an output: of a state near 0 all are near 1/2."""
    bits = min(bits, 5)
    params, _ = drawn(Recipe(seed, bits, hidden, dtype=dtype), scale)  # type: ignore[arg-type]
    x, y = encode_pairs(np.indices(2 * (2 ** (bits - 1),)).reshape(2, -1).T, bits, dtype)
    near = 2 * bounds(params, x, y).outputs
    assume((np.abs(forward(params, x)[0] - 0.5) > near).all())
    by_numpy = count_exact(partial(advance, params), hidden, bits, dtype)
    assert count_exact_compiled(params, bits) == by_numpy


def test_what_no_engine_takes() -> None:
    params, rng = start(Recipe(bits=13))
    with pytest.raises(ValueError, match="the number of pairs must be a multiple of 3, got 8"):
        NumPySGD(params, Recipe(batch_size=3)).descend(draw_pairs(rng, 8, 8))
    with pytest.raises(ValueError, match="bits must be at most 12, got 13"):
        count_exact_compiled(params, 13)
    assert not count(params, 13).exhaustive


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
    network = NumPySGD(params, recipes[0])
    network.descend(draw_pairs(rng, 4, 700))
    assert alone[0].exact[-1] == count(network.params(), 4).exact
    assert train(Recipe(iterations=0)).steps == [0]


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
