"""kill -9 at random moments of training and sweeping: what is resumed ends as without.

Then the load: 5,000 seeds in four processes of torchrun, one of them killed now and then.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import keep
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.checkpoints import load_checkpoint

#: Commands that take some seconds, with how long the process takes to begin its work.
TRAININGS = {
    "rnn_numpy.train --engine numpy": (["--iterations", "150000"], 0.3),
    "rnn_numpy.train --engine compiled": (["--iterations", "40000", "--hidden", "64"], 0.3),
    "rnn_torch.train --engine autograd": (["--iterations", "12000"], 1.4),
    "rnn_torch.train --engine fused": (["--iterations", "20000"], 1.4),
    "rnn_torch.train --engine compiled": (["--iterations", "40000", "--hidden", "64"], 1.4),
}


#: Likewise; the second one keeps networks in training.
SWEEPS = {
    "rnn_torch.sweep --engine compiled": (["--seeds", "0:3000", "--count-every", "10000"], 1.2),
    "rnn_torch.sweep --engine batched --checkpoint": (
        ["--seeds", "0:360", "--count-every", "2000", "--iterations", "2000", "--at-once", "30",
         "--checkpoint-every", "100"],
        1.8,
    ),
}  # fmt: skip


def main() -> None:
    """Run the benchmark; print what happened and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=34, help="of each command (%(default)s)")
    flags = parser.parse_args()
    found: dict[str, Any] = {}
    for name, (more, begins) in TRAININGS.items():
        found[name] = training(name.split(), more, begins, flags.kills)
        print(name, found[name], flush=True)
    for name, (more, begins) in SWEEPS.items():
        found[name] = sweeping(name.split(), more, begins, flags.kills)
        print(name, found[name], flush=True)
    load = torchrun()
    print("torchrun", load, flush=True)
    keep("torchrun", load)
    keep("kills", {"commands": found, "kills": sum(row["kills"] for row in found.values())})


def training(words: list[str], more: list[str], begins: float, kills: int) -> dict[str, int]:
    """Kill a training run again and again; then compare its end with the uninterrupted one."""
    rng = random.Random(0)
    command: list[Any] = [sys.executable, "-m", *words, *more, "--log-every", "1000000"]
    result = {"kills": 0, "runs": 0, "different ends": 0, "no whole checkpoint": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        subprocess.run([*command, "--out", whole], check=True, stdout=subprocess.DEVNULL)
        while result["kills"] < kills:
            result["runs"] += 1
            kept, end = folder / str(result["runs"]), folder / f"end-{result['runs']}"
            flags: list[Any] = [
                "--checkpoint",
                kept,
                "--checkpoint-every",
                "50",
                "--resume",
                "--out",
                end,
            ]
            while not end.exists():
                if result["kills"] < kills:
                    result["kills"] += kill([*command, *flags], rng.uniform(0, begins + 0.4))
                else:
                    subprocess.run([*command, *flags], check=True, stdout=subprocess.DEVNULL)
                files = sorted(kept.glob("step-*")) if kept.exists() else []
                for file in files:  # none may be half-written
                    try:
                        load_checkpoint(file)
                    except ValueError:
                        result["no whole checkpoint"] += 1
            same = [a.tobytes() for a in load_params(whole)[0]] == [
                a.tobytes() for a in load_params(end)[0]
            ]
            result["different ends"] += not same
    return result


def sweeping(words: list[str], more: list[str], begins: float, kills: int) -> dict[str, int]:
    """Kill a sweep again and again: no finished network is lost, all come out as without."""
    rng = random.Random(1)
    result = {"kills": 0, "lost": 0, "different": 0}
    with tempfile.TemporaryDirectory() as name:
        out, whole = Path(name) / "out.jsonl", Path(name) / "whole.jsonl"
        kept = [str(Path(name) / "kept")] if words[-1] == "--checkpoint" else []
        command = [sys.executable, "-m", *words, *kept, *more]
        subprocess.run([*command, "--out", whole], check=True, stdout=subprocess.DEVNULL)
        before: set[str] = set()
        while True:
            resumed = [*command, "--out", str(out), "--resume"]
            killed = result["kills"] < kills and kill(resumed, rng.uniform(begins, begins + 1))
            result["kills"] += killed
            if not killed:
                subprocess.run(resumed, check=True, stdout=subprocess.DEVNULL)
            now = set(out.read_text().split("\n")) if out.exists() else set()
            finished = {line for line in before if line.endswith("}")}
            result["lost"] += len(finished - now)
            before = now
            if not killed:
                break
        ends = [sorted(file.read_text().splitlines(), key=seed) for file in (whole, out)]
        result["different"] = sum(a != b for a, b in zip(*ends, strict=True))
    return result


def torchrun(seeds: int = 5000, processes: int = 4, kills: int = 10) -> dict[str, Any]:
    """A sweep in several processes, a random one killed now and then: it finishes, complete."""
    rng = random.Random(2)
    flags = ["rnn_torch.sweep", "--seeds", f"0:{seeds}", "--count-every", "10000"]
    begun = time.perf_counter()
    result: dict[str, Any] = {"seeds": seeds, "processes": processes, "kills": 0, "lost": 0}
    with tempfile.TemporaryDirectory() as name:
        out, whole = Path(name) / "out.jsonl", Path(name) / "whole.jsonl"
        launcher = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes),
             "--max-restarts", str(kills), "-m", *flags, "--out", str(out)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        before: set[str] = set()
        while result["kills"] < kills and launcher.poll() is None:
            time.sleep(rng.uniform(4, 9))
            children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
            if len(children.split()) == processes:
                os.kill(int(rng.choice(children.split())), signal.SIGKILL)
                result["kills"] += 1
                result["lost"] += len(before - (before := lines(out)))
        launcher.wait()
        result["exit code"] = launcher.returncode
        result["lost"] += len(before - lines(out))
        result["seconds"] = round(time.perf_counter() - begun)
        subprocess.run([sys.executable, "-m", *flags, "--out", whole], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        result["complete"] = len(out.read_text().splitlines())
        result["different"] = len(lines(out) ^ lines(whole))
        result["left behind"] = len(list(out.parent.glob("out.jsonl.*")))
    return result


def lines(out: Path) -> set[str]:
    """The whole lines in all files of a sweep."""
    files = [file.read_text() for file in out.parent.glob(f"{out.name}*")]
    return {line for text in files for line in text[: text.rfind("\n") + 1].splitlines()}


def seed(line: str) -> int:
    """Of a result."""
    return int(json.loads(line)["recipe"]["seed"])


def kill(command: list[Any], after: float) -> bool:
    """Whether the process was killed before it ended by itself."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.kill()
    return process.wait() != 0


if __name__ == "__main__":
    main()
