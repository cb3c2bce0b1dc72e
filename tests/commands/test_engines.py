"""The flag --engine of both commands, and the audit of the gradient that it uses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnn_numpy.train
import rnn_numpy.training.sgd
import rnn_torch.elman_network.parity
from rnn_numpy import Params
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.recipe import Recipe
from rnn_torch.training import learners
from trainings import MAINS, SHORT, bytes_of

ENGINES = [
    ("rnn_numpy", "compiled"),
    ("rnn_numpy", "numpy"),
    ("rnn_torch", "compiled"),
    ("rnn_torch", "fused"),
    ("rnn_torch", "autograd"),
]


@pytest.mark.unannotated
def test_all_engines_write_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each prints its name; test_recipe.py compares 2,000 steps of each with a naive script."""
    kept = []
    out = str(tmp_path / "kept.safetensors")
    for package, engine in ENGINES:
        flags = ["--seed", "3", "--hidden", "5", *SHORT, "--engine", engine, "--out", out]
        assert MAINS[package](flags) == 0
        assert capsys.readouterr().out.splitlines()[-1].endswith(f"; engine: {engine}")
        kept.append(load_params(out))
        assert MAINS[package]([*flags, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["engine"] == engine
    (first, says), *others = kept
    for params, other_says in others:
        assert other_says == says
        for one, other in zip(params, first, strict=True):
            assert np.abs(one - other).max() < 1e-10
    assert Recipe(**json.loads(says["recipe"])) == Recipe(3, 5, 5, 300)
    assert (says["steps"], says["status"]) == ("300", "finished")


@pytest.mark.parametrize(
    ("engine", "where", "name"),
    [
        ("compiled", rnn_numpy.training.sgd.CompiledSGD, "gradient"),
        ("fused", learners.FusedLearner, "_hand_written"),
        ("autograd", rnn_torch.elman_network.parity, "bptt"),
    ],
)
def test_the_audit_is_of_the_gradient_that_the_engine_uses(
    engine: str,
    where: object,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    original = getattr(where, name)

    def a_little_off(*arguments: object, **named: object) -> Params:
        right = original(*arguments, **named)
        return right._replace(W=right.W * (1 + 1e-9))

    monkeypatch.setattr(where, name, a_little_off)
    assert MAINS["rnn_torch"]([*SHORT, "--engine", engine]) == 1
    assert "the hand-written gradient is WRONG at steps 100, 200, 300" in capsys.readouterr().out


def test_a_gradient_that_is_not_finite_is_infinitely_far_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON has no infinity."""
    monkeypatch.setattr(learners, "gradient_parity", lambda *_: float("inf"))
    assert MAINS["rnn_torch"]([*SHORT, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["log"][0]["parity"] > 1e300


def test_an_undecided_audit_is_logged_as_blind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--learning-rate", "1e300", "--iterations", "100", "--log-every", "100"]
    assert MAINS["rnn_torch"](flags) == 1  # the gradient vanished
    assert "   blind  " in capsys.readouterr().out


ALL_ENGINES = """
import sys
import rnn_numpy.train, rnn_torch.train
for package, engine in {engines}:
    flags = ["--engine", engine, "--iterations", "60", "--hidden", "70"]
    assert package.train.main([*flags, "--out", f"{{package.__name__}}-{{engine}}"]) == 0
"""


def test_the_same_bytes_whatever_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three, in a process that starts with them, and with those of this one."""
    engines = ", ".join(f"({package}, {engine!r})" for package, engine in ENGINES)
    program = ALL_ENGINES.format(engines=f"[{engines}]")
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, cwd=tmp_path,
        env={**os.environ, **dict.fromkeys(names, "3")},
    )  # fmt: skip
    (tmp_path / "one").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    exec(program, {})
    for package, engine in ENGINES:
        name = f"{package}-{engine}"
        assert bytes_of(tmp_path / "one" / name) == bytes_of(tmp_path / name), engine
