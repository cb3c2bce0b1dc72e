"""A training: its events, its log, its pauses, and settings that it refuses."""

import pytest

from learners import plain_numpy
from rnn_numpy.training.recipe import Engine, Recipe, Training


def test_events() -> None:
    """A logged step is taken separately; the training counts the steps taken so far."""
    training = Training(Recipe(iterations=100), Engine("made", plain_numpy))
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
    training = Training(Recipe(iterations=100), Engine("made", plain_numpy))
    assert [training.steps for _ in training.run(60, pause_every=20)] == [20, 40, 59, 60, 80, 100]
    assert [record.step for record in training.log] == [60]
    assert not list(training.run())


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
