"""Several processes: their gradient, their sweep, and the kill of one of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import data_parallel_gradients
from forked import Forked, ranks
from profiles import NIGHTLY
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.checkpoints import load_checkpoint
from rnn_numpy.training.processes import Processes
from rnn_torch import sweep, train

# In one worker, which imports what DistributedDataParallel needs.
pytestmark = [pytest.mark.unannotated, pytest.mark.xdist_group("processes")]
Launcher = Forked | subprocess.Popen[str]
Capture = pytest.CaptureFixture[str]


def torchrun(processes: int, module: Any, *flags: Any) -> Launcher:
    """Run with one restart; only nightly tests use torchrun itself, which imports torch again."""
    if not NIGHTLY:
        return ranks([processes], module.main, *flags, restarts=1)
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes),
         "--max-restarts", "1", "-m", module.__name__, *map(str, flags)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def succeeded(launcher: Launcher) -> tuple[str, str]:
    if isinstance(launcher, Forked):
        return launcher.succeeded()
    out, err = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, err[-2000:]
    return out, err


def wait_until(there: Callable[[], bool], launcher: Launcher) -> None:
    limit = time.monotonic() + 60
    while not there():
        assert launcher.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.01)


def kill_one_when(there: Callable[[], bool], launcher: Launcher) -> None:
    """Kill the last process with signal 9 as soon as there is a result to lose."""
    wait_until(there, launcher)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)


def test_the_gradient_of_several_processes_is_that_of_one() -> None:
    counts = (1, 2, 3, 4) if NIGHTLY else (1, 3)
    out, _ = ranks(counts, data_parallel_gradients.main).succeeded()
    for processes, line in zip(counts, out.splitlines(), strict=True):
        found = json.loads(line)
        assert found["worst"] < 1
        assert found["blind"] == 0
        assert found["seen"] == (data_parallel_gradients.PROBLEMS if processes > 1 else 0)


def test_training_in_two_processes_killed_and_stopped(tmp_path: Path, capsys: Capture) -> None:
    flags = ["--batch-size", "3", "--iterations", "400", "--log-every", "80", "--json"]
    one, two, killed, folder = (tmp_path / name for name in ("one", "two", "killed", "folder"))
    assert train.main([*flags, "--engine", "fused", "--out", str(one)]) == 0
    alone = json.loads(capsys.readouterr().out)

    out, _ = ranks([2], train.main, *flags, "--out", two).succeeded()
    together = json.loads(out)
    assert together["engine"] == "fused, 2 processes"
    assert together["sums"] == alone["sums"]
    for record, same in zip(together["log"], alone["log"], strict=True):
        assert (record["a"], record["b"], record["said"]) == (same["a"], same["b"], same["said"])
        assert record["parity"] < 1
    weights = [load_params(file)[0] for file in (one, two)]
    assert max(abs(a - b).max() for a, b in zip(*weights, strict=True)) < 1e-10

    def newest() -> str:
        return max((file.name for file in folder.glob("step-*")), default="")

    checkpoints = ["--checkpoint", folder, "--checkpoint-every", "20", "--out", killed]
    launcher = torchrun(2, train, *flags, *checkpoints)
    kill_one_when(lambda: newest() != "", launcher)
    # The new processes go on, until torchrun is asked to stop: both after the same step.
    before = newest()
    wait_until(lambda: newest() > before, launcher)
    launcher.send_signal(signal.SIGTERM)
    launcher.ended() if isinstance(launcher, Forked) else launcher.communicate(timeout=60)
    assert load_checkpoint(folder / newest()).run.steps < 400
    ranks([2], train.main, *flags, *checkpoints, "--resume").succeeded()
    assert killed.read_bytes() == two.read_bytes()


def test_a_sweep_in_two_processes_and_one_of_them_killed(tmp_path: Path, capsys: Capture) -> None:
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    flags = ["--seeds", "0:40", "--count-every", "10000", "--engine", "compiled"]
    assert sweep.main([*flags, "--out", str(whole)]) == 0
    table = capsys.readouterr().out
    before: list[str] = []

    def something_to_lose() -> bool:
        part = Path(f"{out}.rank-1.jsonl")
        if part.exists():
            before[:] = part.read_text().splitlines(keepends=True)
        return len(before) > 3

    launcher = torchrun(2, sweep, *flags, "--out", out)
    kill_one_when(something_to_lose, launcher)
    said, _ = succeeded(launcher)
    assert said == table
    lines = out.read_text().splitlines(keepends=True)
    assert sorted(lines) == sorted(whole.read_text().splitlines(keepends=True))
    # Those that were finished are the first ones that the new processes found.
    assert {line for line in before if line.endswith("\n")} <= set(lines)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.jsonl", "whole.jsonl"]


def test_an_error_of_one_process_is_raised_in_every_one() -> None:
    class Second(Processes):
        def gather(self, mine: Any) -> list[Any]:
            return [OSError("of the first"), mine]

    with pytest.raises(OSError, match="of the first"), Second().failing_together():
        pass
    with pytest.raises(OSError, match="of the first"), Second().failing_together():
        raise ValueError("of the second")


def test_bad_input_is_reported_once(tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("")
    out, err = ranks([2], sweep.main, "--out", there).succeeded(code=2)
    assert out == ""
    assert err.count("exists: pass --resume to continue it") == 1


def test_results_of_a_killed_sweep_are_collected(tmp_path: Path, capsys: Capture) -> None:
    out, part = tmp_path / "out[1].csv", tmp_path / "out[1].csv.rank-3.jsonl"
    flags = ["--iterations", "50", "--hidden", "3", "--bits", "3", "--out"]
    assert sweep.main(["--seeds", "0:3", *flags, str(tmp_path / "some.jsonl")]) == 0
    kept = (tmp_path / "some.jsonl").read_bytes()
    part.write_bytes(kept + b'{"recipe": {"seed": 4, "bi')
    with pytest.raises(SystemExit):
        sweep.main(["--seeds", "0:5", *flags, str(out)])
    assert "rank-3.jsonl exists: pass --resume to continue it" in capsys.readouterr().err
    assert sweep.main(["--seeds", "0:5", *flags, str(out), "--resume"]) == 0
    assert not part.exists()
    assert len(out.read_text().splitlines()) == 1 + 5
