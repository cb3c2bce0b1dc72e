"""Training that survives: checkpoints, signals, kill -9, full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pytest

from forked import Forked
from profiles import NIGHTLY
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.checkpoint_folder import Folder
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.checkpoints import load_checkpoint
from rnn_torch import train as torch_train
from trainings import SMALL, bytes_of, checkpoints, run

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]
Main = Callable[[list[str]], int]
ENGINES = [(numpy_train.main, "compiled"), (numpy_train.main, "numpy"),
           (torch_train.main, "compiled"), (torch_train.main, "fused"),
           (torch_train.main, "autograd")]  # fmt: skip


@pytest.mark.parametrize(("main", "engine"), ENGINES)
def test_a_resumed_run_is_the_uninterrupted_one(
    main: Main, engine: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at an arbitrary step, with every engine: the same bits and log lines."""
    flags = [*SMALL, "--engine", engine]
    whole, resumed, folder = tmp_path / "whole", tmp_path / "resumed", tmp_path / "folder"
    assert main([*flags, "--out", str(whole)]) == 0
    lines = capsys.readouterr().out.splitlines()
    checkpointed = [*flags, "--checkpoint", str(folder), "--checkpoint-every", "130"]
    stop_after(monkeypatch, 337)
    assert main(checkpointed) == 128 + signal.SIGTERM
    before = capsys.readouterr().out.splitlines()
    monkeypatch.undo()
    assert any(line.startswith("interrupted after step ") for line in before)
    assert main([*checkpointed, "--resume", "--out", str(resumed)]) == 0
    after = capsys.readouterr().out.splitlines()
    assert bytes_of(whole) == bytes_of(resumed)
    logged = [line for line in lines if line[:8].strip().isdigit()]
    rest = [line for line in after if line[:8].strip().isdigit()]
    assert 0 < len(rest) < len(logged)
    assert rest == logged[-len(rest) :]
    assert checkpoints(folder) == ["step-000000000650.safetensors", "step-000000000700.safetensors"]
    assert main([*checkpointed, "--resume", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [record["step"] for record in document["log"]] == [100, 200, 300, 400, 500, 600, 700]


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Raise SIGTERM in the middle of a run."""
    from rnn_numpy.tasks import addition
    from rnn_numpy.training import recipe

    draw, drawn = addition.draw_pairs, [0]

    def counting(*args: Any) -> Any:
        pairs = draw(*args)
        drawn[0] += len(pairs)
        if drawn[0] >= steps:
            drawn[0] = -(10**9)
            os.kill(os.getpid(), signal.SIGTERM)
        return pairs

    monkeypatch.setattr(recipe, "draw_pairs", counting)


@pytest.mark.parametrize("package", ["rnn_numpy", "rnn_torch"])
def test_kill_9(package: str, tmp_path: Path) -> None:
    """After a kill at any moment the folder has a complete checkpoint; the result is the same."""
    # Half a second of work at least, so that it is killed and not at its end.
    engine, steps = {"rnn_numpy": ("numpy", 12000), "rnn_torch": ("autograd", 2000)}[package]
    main = {"rnn_numpy": numpy_train.main, "rnn_torch": torch_train.main}[package]
    flags = ["--engine", engine, "--iterations", str(steps), "--log-every", "1000000"]
    whole, resumed, folder = tmp_path / "whole", tmp_path / "resumed", tmp_path / "folder"
    Forked(main, [*flags, "--out", str(whole)]).succeeded()
    kept = ["--checkpoint", str(folder), "--checkpoint-every", "37", "--resume"]
    rng = np.random.default_rng(len(package))
    wanted = 20 if NIGHTLY else 2
    kills = 0
    while True:
        process = Forked(main, [*flags, *kept, "--out", str(resumed)])
        if kills < wanted:
            wait_for_progress(folder, process)
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        code, _, err = process.ended()
        kills += code == -signal.SIGKILL
        assert "Traceback" not in err
        if code == 0:
            break
        for file in sorted(folder.glob("step-*"))[-1:]:
            load_checkpoint(file)
    assert kills
    assert {file.name for file in folder.iterdir()} == {*checkpoints(folder), "lock"}
    assert len(checkpoints(folder)) == 2
    assert bytes_of(whole) == bytes_of(resumed)


def wait_for_progress(folder: Path, process: Forked) -> None:
    """Wait for a new checkpoint."""
    before = checkpoints(folder)
    while checkpoints(folder)[-1:] == before[-1:] and process.poll() is None:
        time.sleep(0.002)


def test_flags(tmp_path: Path, capsys: Capture) -> None:
    for flags, why in {
        ("--resume",): "--resume needs --checkpoint DIR",
        ("--checkpoint-every", "5"): "--checkpoint-every needs --checkpoint DIR",
        (
            "--checkpoint",
            str(tmp_path),
            "--checkpoint-every",
            "0",
        ): "must be an integer of at least 1, got 0",
    }.items():
        with pytest.raises(SystemExit) as ended:
            numpy_train.main(list(flags))
        assert ended.value.code == 2
        assert why in capsys.readouterr().err


def test_an_existing_run_is_not_overwritten(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, capsys)[0] == 0
    code, _, err = run(tmp_path, capsys)
    assert code == 2
    assert "contains a run: pass --resume to continue it" in err


@pytest.mark.parametrize(
    ("flags", "difference"),
    [(["--seed", "1"], "seed 0, not 1"), (["--learning-rate", "0.2"], "learning_rate 0.1, not 0.2"),
     (["--bits", "6"], "bits 5, not 6"), (["--dtype", "float32"], "dtype float64, not float32"),
     (["--iterations", "900"], "iterations 700, not 900"),
     (["--engine", "numpy"], "engine compiled, not numpy")],
)  # fmt: skip
def test_another_recipe_is_refused(
    flags: list[str], difference: str, tmp_path: Path, capsys: Capture
) -> None:
    assert run(tmp_path, capsys)[0] == 0
    before = checkpoints(tmp_path)
    code, _, err = run(tmp_path, capsys, "--resume", *flags)
    assert code == 2
    assert f"holds a run with {difference}" in err
    assert checkpoints(tmp_path) == before


def test_two_runs_in_one_folder(tmp_path: Path, capsys: Capture) -> None:
    folder = Folder(tmp_path)
    code, _, err = run(tmp_path, capsys)
    assert code == 2
    assert "is in use by another run" in err
    folder.close()
    assert run(tmp_path, capsys)[0] == 0


def test_resume_without_a_checkpoint_starts_from_the_beginning(
    tmp_path: Path, capsys: Capture
) -> None:
    code, out, _ = run(tmp_path / "new" / "folder", capsys, "--resume")
    assert code == 0
    assert "going on" not in out


def test_folders_that_cannot_be_used(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below"):
        code, _, err = run(folder, capsys)
        assert code == 2
        assert f"cannot use {folder}" in err


def test_a_removed_folder(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training continues and its weights are written; the exit code is 2."""
    folder, out = tmp_path / "folder", tmp_path / "weights"

    def vanish(self: Folder, *checkpoint: Any) -> None:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        monkeypatch.undo()
        self.write(*checkpoint)

    monkeypatch.setattr(Folder, "write", vanish)
    code, said, err = run(folder, capsys, "--checkpoint-every", "100", "--out", str(out))
    assert code == 2
    assert err.count("cannot write") == 2  # when it happened, and at the end
    assert "the training continues" in err
    assert "sums exact" in said
    assert load_params(out)[1]["steps"] == "700"


def test_a_full_disk(tmp_path: Path) -> None:
    """Simulated by a limit of 1,024 bytes for a file; existing files stay unchanged."""
    folder = tmp_path / "folder"
    command: list[Any] = [sys.executable, "-m", "rnn_numpy.train", *SMALL, "--checkpoint", folder]
    subprocess.run([*command, "--checkpoint-every", "300"], check=True, capture_output=True)
    newest = folder / checkpoints(folder)[-1]
    newest.unlink()
    kept = checkpoints(folder)

    # In blocks of 1,024 bytes.
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "", *map(str, command)]
    done = subprocess.run([*limited, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert checkpoints(folder) == kept
    assert {file.name for file in folder.iterdir()} == {*kept, "lock"}
    subprocess.run([*command, "--resume"], check=True, capture_output=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    command: list[Any] = [sys.executable, "-m", "rnn_numpy.train", "--engine", "numpy",
                          "--log-every", "100", "--checkpoint", folder,
                          "--out", tmp_path / "out"]  # fmt: skip
    process = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("     200"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "interrupted after step " in out
    assert err == ""
    step = int(out.split("interrupted after step ")[1].split()[0])
    assert checkpoints(folder)[-1] == f"step-{step:012}.safetensors"
    assert load_params(tmp_path / "out")[1]["steps"] == str(step)
