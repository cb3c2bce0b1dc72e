"""Runs whose gradient has vanished: a message and exit code 1, with every engine."""

import json
from pathlib import Path

import numpy as np
import pytest

from learners import Make, learners, taken
from rnn_numpy.elman_network.params import Params
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.many import read_line, train
from rnn_numpy.training.recipe import Recipe, start, vanished
from rnn_numpy.training.sgd import CompiledSGD, NumPySGD
from rnn_torch import sweep
from trainings import MAINS

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Capture = pytest.CaptureFixture[str]
WORDS = "the gradient vanished: times the learning rate, it changes no weight in 1,000 further"
SHORT = ["--iterations", "40", "--log-every", "20", "--bits", "4"]


@pytest.mark.parametrize(("package", "rate"), [("rnn_torch", "1e300"), ("rnn_numpy", "1e-300")])
def test_a_run_with_a_vanished_gradient(
    package: str, rate: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "w"
    argv = [*SHORT, "--learning-rate", rate, "--out", str(out)]
    assert MAINS[package](argv) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith(WORDS)
    assert said.err == ""
    further = ["--until-proved"] * (rate == "1e300")  # such a network cannot be trained on
    assert MAINS[package]([*argv, *further, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["steps"]) == ("vanished", 40)
    assert load_params(out)[1]["steps"] == "40"


@learners
@pytest.mark.parametrize(("rate", "batch"), [(1e300, 3), (0.1, 2)])
def test_every_engine_detects_it(make: Make, rate: float, batch: int) -> None:
    recipe = Recipe(3, 4, 5, 20, rate, batch_size=batch)
    assert vanished(recipe, taken(make, recipe).learner) == (rate > 1)


@pytest.mark.parametrize(("wakes", "gone"), [(1, False), (2, False), (1000, False), (1001, True)])
def test_a_change_in_the_thousandth_step_counts(wakes: int, gone: bool) -> None:
    class Sleeper(NumPySGD):
        """Its weights change in one step only."""

        taken = 0

        def descend(self, pairs: np.ndarray) -> np.ndarray:
            self.taken += len(pairs) // 2
            return pairs

        def params(self) -> Params:
            return Params(*(array + (self.taken >= wakes) for array in self.weights))

    recipe = Recipe(batch_size=2)
    params, _ = start(recipe)
    sleeper = Sleeper(params, recipe)
    assert vanished(recipe, sleeper) == gone
    assert sleeper.taken <= 1000


def test_diverging_is_not_vanishing() -> None:
    recipe = Recipe(seed=6, bits=64, hidden=4, learning_rate=3e38, dtype="float32")
    params, _ = start(recipe)
    assert not vanished(recipe, CompiledSGD(params, recipe))


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_a_sweep_counts_them(engine: str, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "results.jsonl"
    argv = ["--seeds", "0:3", "--bits", "4", "--hidden", "5", "--iterations", "30"]
    argv += ["--learning-rate", "1e300", "0.1", "--engine", engine, "--out", str(out)]
    assert sweep.main(argv) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"6 networks, 3 whose gradient vanished; engine: {engine}"
    found = [read_line(line) for line in out.read_bytes().splitlines()]
    assert [each.status for each in found] == ["vanished"] * 3 + ["finished"] * 3
    assert found == [train(each.recipe, 1000, "numpy") for each in found]
    assert sweep.main([*argv, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vanished"] == 3


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_a_network_that_adds_has_learned(engine: str, tmp_path: Path) -> None:
    """One sum, 0 + 0: about half of the networks output 0 from the beginning."""
    out = tmp_path / "results.jsonl"
    argv = ["--seeds", "0:8", "--bits", "1", "--iterations", "3", "--learning-rate", "1e300"]
    assert sweep.main([*argv, "--engine", engine, "--out", str(out)]) == 0
    found = [read_line(line) for line in out.read_bytes().splitlines()]
    assert {(each.exact[-1], each.status) for each in found} <= {(1, "finished"), (0, "vanished")}
    assert any(each.status == "finished" for each in found)
