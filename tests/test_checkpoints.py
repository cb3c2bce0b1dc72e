"""Training that survives: checkpoints, signals, kill -9, full disks, damaged files."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_numpy import train as numpy_train
from rnn_numpy.checkpoints import FORMAT, load_checkpoint
from rnn_numpy.files import load_params
from rnn_numpy.folder import CheckpointError, Folder, pack, unpack
from rnn_torch import train as torch_train

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]
Main = Callable[[list[str]], int]
ENGINES = [(numpy_train.main, "compiled"), (numpy_train.main, "numpy"),
           (torch_train.main, "compiled"), (torch_train.main, "fused"),
           (torch_train.main, "autograd")]  # fmt: skip
SMALL = ["--iterations", "700", "--hidden", "5", "--bits", "5", "--log-every", "100"]


def bytes_of(file: Path) -> bytes:
    assert load_params(file)
    return file.read_bytes()


def checkpoints(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("step-*"))


@pytest.mark.parametrize(("main", "engine"), ENGINES)
def test_a_resumed_run_is_the_uninterrupted_one(
    main: Main, engine: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at a step of no account, for every engine: bit for bit, and line for line."""
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
    from rnn_numpy import addition, recipe

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
    """At any moment: the folder is never without a whole checkpoint, and the end is the same."""
    # Half a second of work at least, so that it is killed and not at its end.
    engine, steps = {"rnn_numpy": ("numpy", 12000), "rnn_torch": ("autograd", 2000)}[package]
    command: list[Any] = [sys.executable, "-m", f"{package}.train", "--engine", engine,
               "--iterations", str(steps), "--log-every", "1000000"]  # fmt: skip
    whole, resumed, folder = tmp_path / "whole", tmp_path / "resumed", tmp_path / "folder"
    subprocess.run([*command, "--out", whole], check=True, capture_output=True)
    kept: list[Any] = [
        "--checkpoint",
        folder,
        "--checkpoint-every",
        "37",
        "--resume",
        "--out",
        resumed,
    ]
    rng = np.random.default_rng(len(package))
    kills = 0
    while True:
        process = subprocess.Popen([*command, *kept], stdout=PIPE, stderr=PIPE)
        try:
            if kills < 4:
                wait_for_progress(folder, process)
                time.sleep(rng.uniform(0, 0.1))
                process.kill()
                kills += process.wait() == -signal.SIGKILL
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert b"Traceback" not in err
        if process.returncode == 0:
            break
        for file in sorted(folder.glob("step-*"))[-1:]:
            load_checkpoint(file)
    assert kills >= 2
    assert {file.name for file in folder.iterdir()} == {*checkpoints(folder), "lock"}
    assert len(checkpoints(folder)) == 2
    assert bytes_of(whole) == bytes_of(resumed)


def wait_for_progress(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    """Until there is a checkpoint that was not there before."""
    before = checkpoints(folder)
    while checkpoints(folder)[-1:] == before[-1:] and process.poll() is None:
        time.sleep(0.002)


def run(folder: Path, capsys: Capture, *more: str) -> tuple[int, str, str]:
    try:
        code = numpy_train.main([*SMALL, "--checkpoint", str(folder), *more])
    except SystemExit as ended:
        code = int(str(ended.code))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def test_flags(tmp_path: Path, capsys: Capture) -> None:
    for flags, why in {
        ("--resume",): "--resume goes with --checkpoint DIR",
        ("--checkpoint-every", "5"): "--checkpoint-every goes with --checkpoint DIR",
        ("--checkpoint", str(tmp_path), "--checkpoint-every", "0"): "must be at least 1, got 0",
    }.items():
        with pytest.raises(SystemExit) as ended:
            numpy_train.main(list(flags))
        assert ended.value.code == 2
        assert why in capsys.readouterr().err


def test_a_run_that_is_there_is_not_overwritten(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, capsys)[0] == 0
    code, _, err = run(tmp_path, capsys)
    assert code == 2
    assert "holds a run already: --resume goes on with it" in err


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


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "a folder"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    damage: str, tmp_path: Path, capsys: Capture
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    folder = tmp_path / "folder"
    assert run(folder, capsys, "--checkpoint-every", "300", "--out", str(whole))[0] == 0
    assert len(checkpoints(folder)) == 2
    newest = folder / checkpoints(folder)[-1]
    octets = bytearray(newest.read_bytes())
    if damage == "truncated":
        newest.write_bytes(octets[: len(octets) // 2])
    elif damage == "flipped":
        octets[-100] ^= 1
        newest.write_bytes(octets)
    elif damage == "empty":
        newest.write_bytes(b"")
    elif damage == "foreign":
        newest.write_bytes(whole.read_bytes())
    else:
        newest.unlink()
        newest.mkdir()
    code, out, err = run(folder, capsys, "--resume", "--out", str(resumed))
    assert code == (2 if damage == "a folder" else 0)  # that one cannot be replaced in the end
    assert "; going back to the one before" in err
    assert "going on from step 600" in out
    assert bytes_of(whole) == bytes_of(resumed)


def test_no_whole_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, capsys)[0] == 0
    for file in tmp_path.glob("step-*"):
        file.write_bytes(b"x")
    code, _, err = run(tmp_path, capsys, "--resume")
    assert code == 2
    assert "holds no checkpoint that is whole" in err


def test_resume_without_anything_begins(tmp_path: Path, capsys: Capture) -> None:
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


def test_a_folder_that_vanishes(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training goes on and its weights are kept; the exit code tells."""
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
    assert "the training goes on" in err
    assert "sums exact" in said
    assert load_params(out)[1]["steps"] == "700"


def test_a_full_disk(tmp_path: Path) -> None:
    """As good as: no file may grow beyond 1,024 bytes. What was there stays there."""
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


@settings(max_examples=300)
@given(data=st.data())
def test_mutated_checkpoints_are_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is changed: one clear error, or, where it is changed back, the same checkpoint."""
    folder = tmp_path_factory.getbasetemp() / "mutated"
    if not folder.exists():
        assert numpy_train.main(["--iterations", "20", "--hidden", "2", "--bits", "2", "--json",
                                 "--checkpoint", str(folder)]) == 0  # fmt: skip
    file = next(folder.glob("step-*"))
    octets = file.read_bytes()
    at = data.draw(st.integers(0, len(octets) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "overwrite", "swap"]))
    some = data.draw(st.binary(min_size=1, max_size=20))
    changed = {
        "flip": octets[:at] + bytes([octets[at] ^ some[0]]) + octets[at + 1 :],
        "cut": octets[:at],
        "insert": octets[:at] + some + octets[at:],
        "overwrite": octets[:at] + some + octets[at + len(some) :],
        "swap": octets[at:] + octets[:at],
    }[kind]
    mutated = folder / "mutated"
    mutated.write_bytes(changed)
    if changed == octets:
        load_checkpoint(mutated)
    else:
        with pytest.raises(CheckpointError, match="mutated"):
            load_checkpoint(mutated)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", -1), ("steps", 701), ("steps", 1.5), ("steps", "5"), ("steps", None), ("log", [[]]),
     ("log", 3), ("log", [[1, "x", 1, 1, 1, None]]), ("log", [[1, float("nan"), 1, 1, 1, None]]),
     ("log", [[1, 1.0, 1, 1, 1, float("nan")]]), ("log", [[1, 1.0, -1, 1, 1, None]]),
     ("counts", [1]), ("recipe", {}), ("recipe", {"hidden": 6}), ("recipe", {"dtype": "float32"}),
     ("generator", {}), ("generator", {"bit_generator": "PCG64"}),
     ("generator", {"state": {"pos": 10**8}}), ("generator", {"state": {"pos": -5}}),
     ("generator", {"state": {"pos": 0.5}}), ("generator", {"gauss": "x"})],
    ids=str,
)  # fmt: skip
def test_a_checkpoint_that_means_harm(
    name: str, value: Any, tmp_path: Path, capsys: Capture
) -> None:
    """Its checksum is right; NumPy would read the memory at a generator's position, anywhere."""
    assert run(tmp_path, capsys, "--log-every", "700")[0] == 0
    file = tmp_path / checkpoints(tmp_path)[-1]
    arrays, state = unpack(FORMAT, ["U", "V", "W", "generator"], file)
    changed = {**state[name], **value} if isinstance(value, dict) and value else value
    file.write_bytes(pack(FORMAT, arrays, {**state, name: changed}))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(file)


def test_checkpoints_hold_no_pickle_and_say_what_they_are(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, capsys)[0] == 0
    found = load_checkpoint(tmp_path / checkpoints(tmp_path)[-1])
    assert (found.run.steps, found.engine, found.run.recipe.hidden) == (700, "compiled", 5)
    assert b"pickle" not in (tmp_path / checkpoints(tmp_path)[-1]).read_bytes()


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


@pytest.mark.parametrize("engine", ["compiled", "numpy", "fused", "autograd"])
def test_the_same_bytes_whatever_the_number_of_threads(engine: str, tmp_path: Path) -> None:
    package = "rnn_numpy" if engine == "numpy" else "rnn_torch"
    kept = []
    for threads in ("1", "3"):
        out = tmp_path / threads
        command: list[Any] = [sys.executable, "-m", f"{package}.train", "--engine", engine,
                              "--iterations", "60", "--hidden", "70", "--out", out]  # fmt: skip
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        kept.append(bytes_of(out))
    assert kept[0] == kept[1]
