"""How the time of the fused layer grows with steps, batch, both, and hidden units."""

import argparse
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import torch

from benchmarks.harness import interleaved, keep, spread
from benchmarks.speed.layer import ours

#: The other sizes are those where the work dominates, not its overhead.
SERIES: dict[str, list[tuple[int, int, int]]] = {
    "steps": [(t, 8, 128) for t in (1024, 2048, 4096, 8192)],
    "steps, one example": [(t, 1, 64) for t in (8192, 16384, 32768, 65536)],
    "batch": [(64, b, 256) for b in (64, 128, 256, 512, 1024)],
    "steps x batch": [(t, b, 256) for t, b in ((256, 64), (512, 64), (512, 128), (1024, 128))],
    "hidden": [(128, 64, h) for h in (256, 512, 1024)],
}


#: glibc gives memory of this size back to the system at once, which clears every page of it when
#: it is asked for again. With these it keeps it: what is measured then is the layer.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


def main() -> None:
    """Run the benchmark, as it is and with memory kept; print the slopes and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="a series (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the numbers, and keep nothing")
    flags = parser.parse_args()
    found = {name: measure(name, flags.seconds) for name in SERIES}
    if flags.json:
        print(json.dumps(found))
        return
    kept = with_memory_kept(flags.seconds)
    for name, series in found.items():
        series["slope, memory kept"] = kept[name]["slope"]
        print(f"{name:22}slope {series['slope']:.3f}, memory kept {kept[name]['slope']:.3f}")
    keep("growth", {"threads": torch.get_num_threads(), "series": found})


def with_memory_kept(seconds: float) -> dict[str, Any]:
    """The same again in a process whose allocator keeps its memory."""
    again = [sys.executable, "-m", "benchmarks.speed.growth", "--json", "--seconds", str(seconds)]
    done = subprocess.run(again, env=os.environ | KEEP_MEMORY, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(name: str, limit: float) -> dict[str, Any]:
    """Time a series, its sizes in turn; returns medians and slope."""
    sizes = SERIES[name]
    contenders = {str(size): ours(problem(*size)) for size in sizes}
    times = interleaved(contenders, seconds=limit, least=5)
    seconds = [spread(times[str(size)])["median"] for size in sizes]
    grown = [t if name.split(",")[0] == "steps" else b if name == "batch" else h
             if name == "hidden" else t * b for t, b, h in sizes]  # fmt: skip
    slope = float(np.polyfit(np.log(grown), np.log(seconds), 1)[0])
    return {"sizes": sizes, "seconds": seconds, "slope": slope}


def problem(time: int, batch: int, hidden: int) -> list[torch.Tensor]:
    """x, U, W and a gradient of the states."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((time, batch, hidden), (hidden, hidden), (hidden, hidden), (time, batch, hidden))
    x, U, W, upstream = (torch.randn(shape, generator=generator) for shape in shapes)
    return [x, U / hidden**0.5, W / hidden**0.5, upstream]


if __name__ == "__main__":
    main()
