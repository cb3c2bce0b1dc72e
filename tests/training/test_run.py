"""The recipe's loop: its stretches, its log, its pauses, and settings that it refuses."""

import pytest

from rnn_numpy.training.recipe import Recipe, Run, Stretch, run, start
from rnn_numpy.training.sgd import numpy_learner


def test_stretches() -> None:
    """A logged step is a stretch of its own; the run counts the steps of the stretches taken."""
    recipe = Recipe(iterations=100)
    params, rng = start(recipe)
    result = Run(recipe)
    taken: list[Stretch] = []
    for stretch in run(result, numpy_learner(params, recipe, "numpy"), rng, log_every=30):
        taken.append(stretch)
        assert result.steps == sum(stretch.steps for stretch in taken)
        if result.steps == 60:
            break
    assert (result.status, result.steps) == ("finished", 60)
    assert [stretch.steps for stretch in taken] == [29, 1, 29, 1]
    assert [stretch.record for stretch in taken if stretch.steps > 1] == [None, None]
    assert [stretch.record for stretch in taken if stretch.steps == 1] == result.log
    assert [record.step for record in result.log] == [30, 60]
    assert all(record.parity is None for record in result.log)


def test_pauses_and_a_last_step() -> None:
    recipe = Recipe(iterations=100)
    params, rng = start(recipe)
    result, learner = Run(recipe), numpy_learner(params, recipe, "numpy")
    ends = [result.steps for _ in run(result, learner, rng, until=50, pause_every=20)]
    assert ends == [20, 40, 50]
    ends = [result.steps for _ in run(result, learner, rng, log_every=60, pause_every=20)]
    assert ends == [59, 60, 80, 100]
    assert [record.step for record in result.log] == [60]
    assert not list(run(result, learner, rng))


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
        ("batch_size", 0, ValueError, "batch_size must be 1 to 1048576, got 0"),
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
