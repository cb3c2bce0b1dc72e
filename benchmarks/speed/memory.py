"""Peak memory of a training step over 4,096 steps, and a gradient through a million steps."""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.harness import interleaved, keep, spread
from rnn_torch import ElmanRNN, FusedElmanRNN, squared_error

TIME, BATCH, HIDDEN = 4096, 32, 128
MODES = {
    "naive autograd": None,
    "fused": None,
    "fused, checkpoint_every=64": 64,
    "fused, checkpoint_every=128": 128,
}


def main() -> None:
    """Run the benchmark; print its table and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.million:
        print(json.dumps(million()))
        return
    steps = {mode: step(mode) for mode in MODES}
    times = interleaved(steps, seconds=30, least=5, most=15)
    rows: dict[str, dict[str, Any]] = {}
    for mode, some in times.items():
        rows[mode] = {**spread(some), "peak": allocated(steps[mode])}
        print(f"{mode:30}{rows[mode]['median']:8.3f} s{rows[mode]['peak'] / 2**20:9.1f} MiB")
    command = [sys.executable, "-m", "benchmarks.speed.memory", "--million"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    through_a_million = json.loads(done.stdout)
    print(through_a_million)
    keep("memory", {"size": [TIME, BATCH, HIDDEN], "rows": rows, "million": through_a_million})


def step(mode: str) -> Callable[[], Any]:
    """Forward, loss and backward of the whole network; the gradients are left in the parameters."""
    torch.manual_seed(0)
    x, y = torch.rand(TIME, BATCH, 2), torch.rand(TIME, BATCH, 1)
    model = (ElmanRNN if mode == "naive autograd" else FusedElmanRNN)(2, HIDDEN, 1)

    def once() -> None:
        model.zero_grad()
        if isinstance(model, FusedElmanRNN):
            outputs, _ = model.outputs(x, checkpoint_every=MODES[mode])
        else:
            outputs, _ = model(x)
        squared_error(outputs, y).backward()

    return once


def allocated(work: Callable[[], Any]) -> int:
    """The most bytes that torch's allocator had handed out at once while this ran."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    now = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def million() -> dict[str, float]:
    """One gradient through 1,000,000 steps, in a process of its own: seconds and peak memory."""
    torch.manual_seed(0)
    model = FusedElmanRNN(2, 64, 1)
    with torch.no_grad():
        model.W.div_(8)
    x, y = torch.rand(1_000_000, 1, 2), torch.rand(1_000_000, 1, 1)
    begin = time.perf_counter()
    outputs, _ = model.outputs(x, checkpoint_every=1000)
    squared_error(outputs, y).backward()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak of the process": peak}


if __name__ == "__main__":
    main()
