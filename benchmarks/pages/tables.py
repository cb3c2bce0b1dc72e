"""The tables of docs/performance.md, a function for each kept result."""

from collections.abc import Iterator
from typing import Any

from benchmarks.speed.layer import best_ratio

Result = dict[str, Any]

Lines = Iterator[str]


def online(found: Result) -> Lines:
    """The recipe's steps in one process."""
    yield f"| {found['steps']:,} steps | median | naive / this |"
    yield "|---|--:|--:|"
    for name, row in sorted(found["rows"].items(), key=lambda item: item[1]["median"]):
        compiling = found["compile_seconds"].get(name)
        note = f" (after {compiling:.1f} s of compilation)" if compiling else ""
        yield f"| {name}{note} | {duration(row['median'])} | {row['naive / this']:.1f} |"
    yield ""


def layer(found: Result) -> Lines:
    """Forward and backward; the picture has the ratios of all sizes, the table fewer rows."""
    names = ["ours", "JAX", "nn.RNN", "naive autograd", "torch.compile"]
    yield f"| time, batch, hidden | {' | '.join(names)} | best other / ours |"
    yield f"|---|{'--:|' * len(names)}--:|"
    ends = ((8, 1024), (1, 64), (16, 128, 512))  # of times and batches the ends
    shown = [
        row for row in found["rows"]
        if all(size in some for size, some in zip(row["size"], ends, strict=True))
    ]  # fmt: skip
    for row in shown:
        times = [
            duration(row["seconds"][name]["median"]) if name in row["seconds"] else ""
            for name in names
        ]
        size = ", ".join(map(str, row["size"]))
        yield f"| {size} | {' | '.join(times)} | {best_ratio(row):.2f} |"
    ratios = [best_ratio(row) for row in found["rows"]]
    mean = 1.0
    for ratio in ratios:
        mean *= ratio ** (1 / len(ratios))
    yield ""
    yield (
        f"At all {len(ratios)} sizes the geometric mean of the last column is {mean:.2f}, "
        f"its minimum {min(ratios):.2f}; values below 1: {sum(ratio < 1 for ratio in ratios)}."
    )
    compiling = [row["compile_seconds"].get("torch.compile", 0) for row in found["rows"]]
    in_jax = [row["compile_seconds"].get("JAX", 0) for row in found["rows"]]
    yield (
        f"The times exclude compilation: up to {max(compiling):.0f} s for torch.compile at 8 steps "
        f"(more at more steps), up to {max(in_jax):.1f} s for JAX, none for ours."
    )
    time, batch, hidden = found["rows"][-1]["size"]
    rate = 12 * time * batch * hidden**2 / found["rows"][-1]["seconds"]["ours"]["median"] / 1e9
    best = ", ".join(f"{value:.0f} in {name}" for name, value in found["gemm"].items())
    yield f"Ours reaches {rate:.0f} GFLOP/s at the last size; one large product: {best}."


def many(found: Result) -> Lines:
    """Many seeds."""
    yield f"| {found['networks']:,} networks, {found['cores']} cores | seconds |"
    yield "|---|--:|"
    for name, seconds in found["seconds"].items():
        yield f"| {name} | {seconds:.1f} |"
    yield ""
    yield f"{found['exact']} of {found['networks']} are exact on all 16,384 sums at the end."


def duration(seconds: float) -> str:
    """Three figures, in the unit that suits."""
    unit, size = next((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 0.0)) if seconds >= s)
    count = seconds / (size or 1e-6)
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
