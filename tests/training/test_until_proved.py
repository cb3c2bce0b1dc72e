"""`train --until-proved`: the command and its function."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learners import taken
from profiles import nightly
from rnn_numpy import Params, prove
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.recipe import Recipe
from rnn_numpy.training.sgd import CompiledSGD
from rnn_numpy.training.until_proved import until_proved
from rnn_torch import train as torch_train

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]
SHORT = ["--seed", "1", "--iterations", "300", "--until-proved"]


def test_all_engines_stop_after_the_last_step_with_the_same_network(
    tmp_path: Path, capsys: Capture
) -> None:
    """Training continues after a refutation; the last weights are saved."""
    found: list[Params] = []
    for train, engine in [
        (numpy_train.main, "compiled"), (torch_train.main, "compiled"), (numpy_train.main, "numpy")
    ]:  # fmt: skip
        file = str(tmp_path / f"{len(found)}.safetensors")
        flags = [*SHORT, "--log-every", "9999999", "--engine", engine, "--out", file]
        assert train([*flags, "--max-iterations", "1200"]) == 1
        lines = capsys.readouterr().out.splitlines()
        verdicts = [line.split()[:2] for line in lines if "as trained" in line]
        assert verdicts == [[steps, "refuted,"] for steps in ("300", "900", "1200")]
        assert lines[-2] == f"weights written to {file}"
        params, metadata = load_params(file)
        assert metadata["steps"] == "1200"
        for one, other in zip(params, (found or [params])[0], strict=True):
            assert np.abs(one - other).max() < 1e-9
        found.append(params)
    assert prove.main([file]) == 1
    capsys.readouterr()
    assert numpy_train.main([*SHORT, "--max-iterations", "300", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["steps"], document["proof"]["status"]) == (300, "refuted")


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


@nightly  # README.md has one by day
def test_refuted_networks_are_proved_in_a_few_rounds() -> None:
    for seed in (14, 16, 17):
        params = taken(CompiledSGD, Recipe(seed)).learner.params()
        outcomes = until_proved(params, seed, most_steps=3000)
        statuses = [outcome.verdict.status for outcome in outcomes]
        assert statuses[0] == "refuted"
        assert statuses[-1] == "proved"
