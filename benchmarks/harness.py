"""What every benchmark here does: gate first, warm up, interleave, keep the numbers as JSON."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
#: Seconds that a contender's turn takes, if one call is shorter.
TURN = 0.005
Contender = Callable[[], Any]


def interleaved(
    contenders: Mapping[str, Contender], *, seconds: float, least: int = 3, most: int = 300
) -> dict[str, list[float]]:
    """Time the contenders in turn, round by round, after a warm-up of each.

    A turn is as many calls as take `TURN`: microseconds measured one call at a time, each after
    another contender, would be those of cold caches and of threads that the others left waiting.

    Args:
        seconds: begin no more rounds after so long.
        least, most: rounds.

    Returns:
        Each contender's times for one call, in seconds.
    """
    calls = {}
    for name, contender in contenders.items():
        contender()
        calls[name] = max(1, round(TURN / _time(contender, 1)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    begin = time.perf_counter()
    for count in range(most):
        if count >= least and time.perf_counter() - begin > seconds:
            break
        for name, contender in contenders.items():
            times[name].append(_time(contender, calls[name]) / calls[name])
    return times


def _time(contender: Contender, calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        contender()
    return time.perf_counter() - begin


def spread(times: list[float]) -> dict[str, Any]:
    """Median, quartiles and number of some times in seconds."""
    first, median, third = statistics.quantiles(times, n=4, method="inclusive")
    return {"median": median, "quartiles": [first, third], "rounds": len(times)}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    names = ("numpy", "torch", "jax")
    found: dict[str, Any] = {"processor": _processor(), "cores": len(os.sched_getaffinity(0))}
    found |= {"python": platform.python_version(), "date": time.strftime("%Y-%m-%d")}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def keep(name: str, result: Mapping[str, Any]) -> None:
    """Write a benchmark's result where `report.py` finds it."""
    RESULTS.mkdir(exist_ok=True)
    document = {"machine": machine(), **result}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def _processor() -> str:
    """The kind of processor, without the machine's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in named.items()}
    family = f"family {fields.get('cpu family')}" if "cpu family" in fields else ""
    return f"{fields.get('model name', platform.machine())} {family}".strip()
