"""Training that survives: signals, kill -9, full disks, checkpoints that are damaged or foreign."""

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
from profiles import NIGHTLY, nightly
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import as_safetensors, load_params
from rnn_numpy.training import checkpoint
from rnn_numpy.training.checkpoint import CheckpointError, read
from rnn_torch import train as torch_train
from trainings import SMALL, bytes_of, run

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
    whole, resumed, kept = tmp_path / "whole", tmp_path / "resumed", tmp_path / "kept"
    assert main([*flags, "--out", str(whole)]) == 0
    lines = capsys.readouterr().out.splitlines()
    checkpointed = [*flags, "--checkpoint", str(kept), "--checkpoint-every", "130"]
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
    assert read(kept).steps == 700
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


@pytest.mark.parametrize("package", ["rnn_numpy", pytest.param("rnn_torch", marks=nightly)])
def test_kill_9(package: str, tmp_path: Path) -> None:
    """After a kill at any moment there is the old or the new file; the result is the same."""
    engine, more = {"rnn_numpy": ("numpy", 1500), "rnn_torch": ("autograd", 200)}[package]
    main = {"rnn_numpy": numpy_train.main, "rnn_torch": torch_train.main}[package]
    kills = 100 if NIGHTLY else 3
    # Enough work that it is killed during it, and not at its end.
    flags = ["--engine", engine, "--iterations", str(more * (kills + 3)), "--log-every", "9999999"]
    whole, resumed, kept = tmp_path / "whole", tmp_path / "resumed", tmp_path / "kept"
    Forked(main, [*flags, "--out", str(whole)]).succeeded()
    flags += ["--checkpoint", str(kept), "--resume", "--out", str(resumed)]
    rng, steps = np.random.default_rng(len(package)), -1
    for _ in range(kills):
        process = Forked(main, [*flags, "--checkpoint-every", "7"])
        wait_for_progress(kept, process)
        time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        code, _, err = process.ended()
        assert (code, err) == (-signal.SIGKILL, "")
        before, steps = steps, read(kept).steps
        assert steps > before
        assert steps % 7 == 0
    Forked(main, flags).succeeded()
    assert {file.name for file in tmp_path.iterdir()} == {"whole", "resumed", "kept"}
    assert bytes_of(whole) == bytes_of(resumed)


def wait_for_progress(file: Path, process: Forked) -> None:
    """Wait until the file is replaced."""

    def version() -> tuple[int, int] | None:
        return (file.stat().st_ino, file.stat().st_mtime_ns) if file.exists() else None

    before = version()
    while version() == before and process.poll() is None:
        time.sleep(0.001)


def test_what_a_killed_process_left_is_removed(tmp_path: Path, capsys: Capture) -> None:
    left, mine = tmp_path / ".kept.abc_1234.unfinished", tmp_path / ".kept.original"
    for file in (left, mine):
        file.write_text("")
    assert run(tmp_path / "kept", capsys, "--resume")[0] == 0
    assert {file.name for file in tmp_path.iterdir()} == {"kept", mine.name}


def test_a_removed_folder(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training continues and its weights are written; the exit code is 2."""
    folder, out = tmp_path / "folder", tmp_path / "weights"
    folder.mkdir()
    packed = checkpoint.packed

    def vanish(*arguments: Any) -> bytes:
        if folder.exists():
            folder.rmdir()
        return packed(*arguments)

    monkeypatch.setattr(checkpoint, "packed", vanish)
    code, said, err = run(folder / "kept", capsys, "--checkpoint-every", "100", "--out", str(out))
    assert code == 2
    assert err.count("cannot write") == 2  # when it happened, and at the end
    assert "the training continues" in err
    assert "sums exact" in said
    assert load_params(out)[1]["steps"] == "700"


def test_a_full_disk(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated by a limit of 1,024 bytes for a file; the existing file stays unchanged."""
    kept = tmp_path / "kept"
    stop_after(monkeypatch, 337)
    assert run(kept, capsys)[0] == 128 + signal.SIGTERM
    before = kept.read_bytes()
    command = [sys.executable, "-m", "rnn_numpy.train", *SMALL, "--checkpoint", str(kept)]
    # In blocks of 1,024 bytes.
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "", *command, "--resume"]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert kept.read_bytes() == before
    assert list(tmp_path.iterdir()) == [kept]


def test_ctrl_c(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command: list[Any] = [sys.executable, "-m", "rnn_numpy.train", "--engine", "numpy",
                          "--log-every", "100", "--checkpoint", kept,
                          "--out", tmp_path / "out"]  # fmt: skip
    process = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("     200"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signal.SIGINT, "")
    step = int(out.split("interrupted after step ")[1].split()[0])
    assert read(kept).steps == step
    assert load_params(tmp_path / "out")[1]["steps"] == str(step)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint with one log line."""
    file = tmp_path_factory.mktemp("finished") / "kept"
    assert numpy_train.main([*SMALL, "--log-every", "700", "--checkpoint", str(file)]) == 0
    return file.read_bytes()


def refused(file: Path, octets: bytes, capsys: Capture, *flags: str) -> str:
    """What is said about a checkpoint that is refused, and not changed."""
    file.write_bytes(octets)
    code, out, err = run(file, capsys, *flags)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert file.read_bytes() == octets
    return err


@pytest.mark.parametrize(
    ("flags", "difference"),
    [([], "kept exists: pass --resume to continue it"),
     (["--resume", "--seed", "1"], "holds a run with seed 0, not 1"),
     (["--resume", "--learning-rate", "0.2"], "learning_rate 0.1, not 0.2"),
     (["--resume", "--bits", "6"], "bits 5, not 6"),
     (["--resume", "--dtype", "float32"], "dtype float64, not float32"),
     (["--resume", "--iterations", "900"], "iterations 700, not 900"),
     (["--resume", "--engine", "numpy"], "engine compiled, not numpy")],
)  # fmt: skip
def test_another_run_is_refused(
    flags: list[str], difference: str, finished: bytes, tmp_path: Path, capsys: Capture
) -> None:
    assert difference in refused(tmp_path / "kept", finished, capsys, *flags)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "weights"])
def test_a_damaged_checkpoint_is_refused(
    damage: str, finished: bytes, tmp_path: Path, capsys: Capture
) -> None:
    file, params = tmp_path / "kept", load_params_of(finished, tmp_path)
    octets = {
        "truncated": finished[: len(finished) // 2],
        "flipped": finished[:-100] + bytes([finished[-100] ^ 1]) + finished[-99:],
        "empty": b"",
        "foreign": b"mine",
        "weights": as_safetensors(params, {"steps": "1"}),
    }[damage]
    said = refused(file, octets, capsys, "--resume")
    assert str(file) in said
    assert "checkpoint" in said


def load_params_of(octets: bytes, folder: Path) -> dict[str, np.ndarray]:
    (folder / "w").write_bytes(octets)
    return load_params(folder / "w")[0]._asdict()


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", -1), ("steps", 701), ("steps", 1.5), ("steps", "5"), ("steps", None), ("log", [[]]),
     ("log", 3), ("log", [[1, "x", 1, 1, 1, None]]), ("log", [[1, float("nan"), 1, 1, 1, None]]),
     ("log", [[1, 1.0, 1, 1, 1, float("nan")]]), ("log", [[1, 1.0, -1, 1, 1, None]]),
     ("recipe", {}), ("recipe", {"hidden": 6}), ("recipe", {"dtype": "float32"}), ("more", 1)],
    ids=str,
)  # fmt: skip
def test_a_malicious_checkpoint(name: str, value: Any, finished: bytes, tmp_path: Path) -> None:
    """Its checksum is right."""
    (tmp_path / "kept").write_bytes(finished)
    params, metadata = load_params(tmp_path / "kept")
    state = json.loads(metadata["state"])
    changed = {**state[name], **value} if isinstance(value, dict) and value else value
    metadata["state"] = json.dumps({**state, name: changed})
    (tmp_path / "kept").write_bytes(as_safetensors(params._asdict(), metadata))
    with pytest.raises(CheckpointError, match="is damaged"):
        read(tmp_path / "kept")
