"""`train --until-proved`: the command and its function."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import bad
from learners import taken
from profiles import NIGHTLY
from proved_once import proved_once
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.recipe import Recipe
from rnn_numpy.training.sgd import numpy_learner
from rnn_numpy.training.until_proved import until_proved
from rnn_torch import train as torch_train

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]
SHORT = ["--seed", "1", "--iterations", "300", "--until-proved"]


@pytest.mark.parametrize("train", [numpy_train.main, torch_train.main])
@proved_once
def test_it_stops_after_the_last_step(
    train: Callable[[list[str]], int], tmp_path: Path, capsys: Capture
) -> None:
    """Training continues after a refutation; each package saves the last weights."""
    file = tmp_path / "w.safetensors"
    assert train([*SHORT, "--max-iterations", "1200", "--out", str(file)]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "as trained" in line]
    assert [line[:2] for line in lines] == [[n, "refuted,"] for n in ("300", "900", "1200")]
    assert load_params(file)[1]["steps"] == "1200"
    assert train([*SHORT, "--max-iterations", "300", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["steps"], document["proof"]["status"]) == (300, "refuted")


@proved_once
def test_it_stops_at_a_proof() -> None:
    params, _ = load_params(Path(__file__).parents[2] / "examples/smallest-adder.safetensors")
    (outcome,) = until_proved(params, 0, most_steps=9)
    assert (outcome.verdict.status, outcome.steps) == ("proved", 0)


def test_flags_of_until_proved(capsys: Capture) -> None:
    for flags, why in {
        ("--max-iterations", "5"): "--max-iterations needs --until-proved",
        ("--until-proved", "--max-iterations", "9"): "--max-iterations must be at least the",
    }.items():
        assert why in bad(numpy_train.main, list(flags), capsys)


def test_ctrl_c_keeps_what_was_learned(tmp_path: Path) -> None:
    program = f"""
import signal, sys
import rnn_numpy.training.until_proved as module
prove_real, calls = module.prove_real, []
def interrupting(*args, **others):
    calls.append(1)
    if len(calls) == 2:
        signal.raise_signal(signal.SIGINT)
    return prove_real(*args, **others)
module.prove_real = interrupting
from rnn_numpy.train import main
sys.exit(main([*{SHORT!r}, "--hidden", "3", "--out", {str(tmp_path / "w")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 130
    assert "weights written to" in done.stdout
    assert load_params(tmp_path / "w")[1]["steps"] == "900"


@pytest.mark.many
def test_refuted_networks_are_proved_in_a_few_rounds() -> None:
    for seed in (14, 16, 17) if NIGHTLY else (17,):
        params = taken(numpy_learner, Recipe(seed)).learner.params()
        outcomes = until_proved(params, seed, most_steps=3000)
        statuses = [outcome.verdict.status for outcome in outcomes]
        assert statuses[0] == "refuted"
        assert statuses[-1] == "proved"
