"""`train --until-proved`: the command and its function."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learners import taken
from profiles import NIGHTLY
from proved_once import proved_once
from rnn_numpy import Params, prove
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.recipe import Learner, Recipe, start
from rnn_numpy.training.sgd import numpy_learner
from rnn_numpy.training.until_proved import until_proved
from rnn_torch import train as torch_train

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]


def test_all_engines_prove_the_same_network(tmp_path: Path, capsys: Capture) -> None:
    """Every engine has the same draws, counterexamples and weights."""
    engines = [(numpy_train.main, "compiled"), (torch_train.main, "compiled")]
    found: list[Params] = []
    for train, engine in [*engines, *[(numpy_train.main, "numpy")] * NIGHTLY]:
        file = str(tmp_path / f"{len(found)}.safetensors")
        flags = ["--seed", "1", "--until-proved", "--state-bits", "5", "--log-every", "9999999"]
        assert train([*flags, "--engine", engine, "--out", file]) == 0
        lines = capsys.readouterr().out.splitlines()
        verdicts = [line.strip() for line in lines if "with a state of 5 bits" in line]
        assert verdicts[0].startswith("20000  refuted")
        assert verdicts[-1].split("  ")[1].startswith("proved: a + b is right for operands of")
        assert lines[-2] == f"weights written to {file}"
        params, metadata = load_params(file)
        assert metadata["steps"] == verdicts[-1].split()[0]
        for one, other in zip(params, (found or [params])[0], strict=True):
            assert np.abs(one - other).max() < 1e-9
        found.append(params)
    assert prove.main([file, "--state-bits", "5"]) == 0


def test_not_proved_within_the_steps(capsys: Capture) -> None:
    flags = [
        "--seed",
        "1",
        "--iterations",
        "300",
        "--until-proved",
        "--state-bits",
        "5",
        "--max-iterations",
        "2300",
    ]
    assert numpy_train.main(flags) == 1
    lines = capsys.readouterr().out.splitlines()
    verdicts = [line.split()[0] for line in lines if "with a state of" in line]
    assert verdicts == ["300", "1300", "2300"]
    assert numpy_train.main([*flags, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["steps"], document["proof"]["status"]) == (2300, "refuted")


def test_a_new_attempt_starts_from_the_recipes_weights() -> None:
    """After 20,000 steps without a proof: the recipe's weights again, at thrice the rate."""
    recipe = Recipe(seed=0, hidden=2, bits=4, iterations=0)
    params, rng = start(recipe)
    made: list[tuple[Params, Recipe]] = []

    def make(weights: Params, changed: Recipe) -> Learner:
        made.append((Params(*(p.copy() for p in weights)), changed))
        return numpy_learner(weights, changed)

    outcomes = list(until_proved(recipe, params, rng, 4, make, most_steps=40_500))
    assert {outcome.verdict.status for outcome in outcomes} == {"refuted"}
    assert [outcome.steps for outcome in outcomes] == [*range(0, 41_000, 1000), 40_500]
    assert [changed.learning_rate for _, changed in made] == pytest.approx([0.1, 0.3, 0.1])
    for weights, _ in made:
        for one, two in zip(weights, params, strict=True):
            np.testing.assert_array_equal(one, two)


def test_examples_begin_with_counterexamples() -> None:
    """One example in ten has a counterexample in its low bits."""
    from rnn_numpy.training.until_proved import _examples, _operands

    inputs = np.array([3, 0, 1, 2])  # a = 0101b, b = 1001b
    assert _operands(inputs) == (0b0101, 0b1001, 4)
    pairs = _examples(np.random.RandomState(0), 32, 1000, [_operands(inputs)])
    beginning = (pairs & 15 == (0b0101, 0b1001)).all(axis=1)
    assert beginning[::10].all()
    assert beginning.mean() < 0.15
    assert len({tuple(pair) for pair in pairs.tolist()}) > 990
    assert pairs.min() >= 0
    assert pairs.max() < 2**31


def test_a_run_that_diverges_is_tried_again() -> None:
    recipe = Recipe(seed=0, hidden=2, bits=4, iterations=0, dtype="float32", learning_rate=3e38)
    params, rng = start(recipe)
    *_, outcome = until_proved(recipe, params, rng, 4, numpy_learner, most_steps=2000)
    assert outcome.steps == 2000
    assert all(np.isfinite(p).all() for p in outcome.params)


def test_ctrl_c_keeps_what_was_learned(tmp_path: Path) -> None:
    program = f"""
import signal, sys
import rnn_numpy.training.until_proved as module
explore, calls = module.explore, []
def interrupting(*args, **others):
    calls.append(1)
    if len(calls) == 2:
        signal.raise_signal(signal.SIGINT)
    return explore(*args, **others)
module.explore = interrupting
from rnn_numpy.train import main
flags = ["--hidden", "3", "--until-proved", "--state-bits", "5"]
sys.exit(main([*flags, "--out", {str(tmp_path / "w")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 130
    assert "weights written to" in done.stdout
    assert load_params(tmp_path / "w")[1]["steps"] == "21000"


@proved_once
def test_without_state_bits_the_network_as_trained_is_proved(capsys: Capture) -> None:
    """Training continues after a refutation, and stops at a proof or after the last step."""
    flags = ["--seed", "1", "--iterations", "300", "--until-proved"]
    assert numpy_train.main([*flags, "--max-iterations", "1200"]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "as trained" in line]
    assert [line[:2] for line in lines] == [[n, "refuted,"] for n in ("300", "900", "1200")]
    assert numpy_train.main([*flags, "--max-iterations", "300", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["proof"]["dtype"] == "float64"
    params, _ = load_params(Path(__file__).parents[2] / "examples/smallest-adder.safetensors")
    recipe, rng = Recipe(hidden=4), np.random.RandomState(0)
    (outcome,) = until_proved(recipe, params, rng, None, numpy_learner, most_steps=9)
    assert (outcome.verdict.status, outcome.steps) == ("proved", 0)


@pytest.mark.many
def test_refuted_networks_are_proved_in_a_few_rounds() -> None:
    for seed in (14, 16, 17) if NIGHTLY else (17,):
        recipe = Recipe(seed)
        done = taken(numpy_learner, recipe)
        params = done.learner.params()
        outcomes = until_proved(recipe, params, done.rng, None, numpy_learner, most_steps=3000)
        statuses = [outcome.verdict.status for outcome in outcomes]
        assert statuses[0] == "refuted"
        assert statuses[-1] == "proved"
