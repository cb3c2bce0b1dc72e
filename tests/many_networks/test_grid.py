"""Sweeps of more networks than fit into memory, and the estimate of their time."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_numpy.training.many_networks import Trained, train
from rnn_numpy.training.processes import Processes
from rnn_numpy.training.recipe import Recipe
from rnn_torch import sweep
from rnn_torch.many_networks.grid import Grid
from rnn_torch.many_networks.stack_schedule import formed, shared_out
from rnn_torch.many_networks.sweep_report import Pace

pytestmark = pytest.mark.unannotated
SETTINGS = [Recipe(hidden=hidden, learning_rate=rate) for hidden in (2, 3) for rate in (0.1, 0.2)]
HUGE = Grid(SETTINGS, [range(10**9)])
ranges = st.builds(lambda first, length: range(first, first + length), st.integers(0, 12),
                   st.integers(1, 6))  # fmt: skip


@given(seeds=st.lists(ranges, min_size=1, max_size=5), settings=st.lists(st.sampled_from(SETTINGS)))
def test_a_grid_equals_a_list(seeds: list[range], settings: list[Recipe]) -> None:
    plain = [
        Recipe(seed, hidden=setting.hidden, learning_rate=setting.learning_rate)
        for setting in settings
        for some in seeds
        for seed in some
    ]
    listed, grid = list(dict.fromkeys(plain)), Grid(settings, seeds)
    assert list(grid) == listed
    assert len(grid) == len(listed)
    every = [Recipe(seed, hidden=s.hidden, learning_rate=s.learning_rate)
             for s in SETTINGS for seed in range(20)]  # fmt: skip
    assert [recipe for recipe in every if recipe in grid] == sorted(listed, key=every.index)
    assert grid.in_order(reversed(every)) == listed
    assert set(grid.by_size()) == set(listed)


def test_more_networks_than_memory_holds() -> None:
    assert len(HUGE) == 4 * 10**9
    assert SETTINGS[3] in HUGE
    assert Recipe(10**9) not in HUGE
    assert HUGE.in_order([SETTINGS[2], SETTINGS[0]]) == [SETTINGS[0], SETTINGS[2]]
    first, second = islice(shared_out(HUGE, {SETTINGS[0]}, 3, None, Processes()), 2)
    assert [recipe.seed for recipe in first + second] == [1, 2, 3, 4, 5, 6]


def test_batches_are_of_one_size() -> None:
    grid = Grid([Recipe(hidden=h, batch_size=b) for h in (2, 3) for b in (1, 2)], [range(3)])
    made = list(formed(grid.by_size(), 2))
    assert [len(batch) for batch in made] == [2, 1] * 4
    assert all(len({(r.hidden, r.batch_size) for r in batch}) == 1 for batch in made)
    assert {recipe for batch in made for recipe in batch} == set(grid)


@pytest.mark.parametrize("engine", ["numpy", "batched"])
def test_a_sweep_of_a_billion_networks_starts_and_resumes(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It runs to the third network, and resumes from there."""
    monkeypatch.chdir(tmp_path)
    begun: list[int] = []

    def three(recipes: Iterable[Any], *rest: object, **named: object) -> Iterator[Trained]:
        for found in islice(recipes, 3):
            (recipe,) = found if engine == "batched" else (found,)
            begun.append(recipe.seed)
            yield train(recipe, 5, "numpy")

    monkeypatch.setattr(sweep, "train_many", three)
    monkeypatch.setattr(sweep, "train_batches", three)
    flags = ["--seeds", "5", "0:999999999", "--iterations", "5", "--bits", "3", "--at-once", "1"]
    flags += ["--engine", engine, "--out", "results.jsonl"]
    assert sweep.main(flags) == 130
    assert "3 networks of 999999999; --resume continues" in capsys.readouterr().out
    assert sweep.main([*flags, "--resume"]) == 130
    assert "6 networks of 999999999; --resume continues" in capsys.readouterr().out
    assert begun == [5, 0, 1, 2, 3, 4]


def said(left: int, at_once: int, updates: Iterable[tuple[float, float]]) -> list[str]:
    """The line printed when these numbers of networks are finished after these times."""
    lines: list[str] = []
    now = [0.0]
    pace = Pace(left, lines.append, at_once=at_once, clock=lambda: now[0])
    for seconds, networks in updates:
        now[0] = seconds
        pace.update(networks)
    return lines


def test_how_long_a_sweep_takes() -> None:
    (line,) = said(999_999_999, 2, [(1, 1), (5, 10), (10, 1), (20, 100), (30, 1)])
    assert line == ("999,999,987 networks are left: at 1.2 a second, as in the first 10 seconds, "
                    "they take about 26 years")  # fmt: skip
    # Parts of networks, where a batch is trained at once.
    (line,) = said(100, 0, [(5, 0.0), (60, 0.5), (90, 0.5)])
    assert line == ("100 networks are left: at 0.0083 a second, as in the first 60 seconds, "
                    "they take about 3 hours")  # fmt: skip
    # Not before each of those in training side by side is counted; not if it is soon over.
    (line,) = said(10**9, 2, [(10, 3500)])
    assert line.startswith("999,996,500 networks are left: at 350 a second")
    (line,) = said(400, 4, [(3600, 1), (3601, 1), (3602, 1), (3603, 1)])
    assert "they take about 4 days" in line
    assert said(100, 2, [(10, 50), (20, 30)]) == []
    assert said(3, 2, [(10, 1)]) == []
