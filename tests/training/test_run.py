"""The recipe's loop: what it logs, how it is stopped, settings that it refuses."""

import pytest

from rnn_numpy.training.learner import NumPyLearner
from rnn_numpy.training.recipe import Recipe, Record, run, start


def test_log_and_stop() -> None:
    recipe = Recipe(iterations=100)
    params, rng = start(recipe)
    steps: list[int] = []
    records: list[Record] = []
    result = run(
        recipe,
        NumPyLearner(params, recipe, "numpy"),
        rng,
        log_every=30,
        on_record=records.append,
        on_steps=steps.append,
        stop=lambda: sum(steps) == 60,
    )
    assert (result.status, result.steps) == ("interrupted", 60)
    assert steps == [29, 1, 29, 1]
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
