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


def engines(found: Result) -> Lines:
    """The engines of --engine, beside other implementations."""
    rows = {
        "compiled kernel": "`compiled`: the whole loop as one kernel; the default on a CPU",
        "NumPy loop": "`numpy`: the same loop in NumPy (`rnn_numpy` only)",
        "torch: compiled": "`compiled` in `rnn_torch`, on the parameters' own memory",
        "torch: fused": "`fused`: one operation, its backward by hand; the default elsewhere",
        "torch: autograd": "`autograd`: torch's own backward pass, step by step",
        "C, gcc -O3": "*C, gcc -O3*",
        "JAX, whole loop jitted": "*JAX, the whole loop jitted*",
        "naive per-step NumPy": "*a naive NumPy loop*",
    }
    yield "| engine | 20,000 steps | naive / this |"
    yield "|---|--:|--:|"
    for name, row in sorted(found["rows"].items(), key=lambda item: item[1]["median"]):
        yield f"| {rows[name]} | {duration(row['median'])} | {row['naive / this']:.1f} |"
    yield ""


def process(found: Result) -> Lines:
    """Whole processes."""
    yield "| whole process | median |"
    yield "|---|--:|"
    for name, row in found["rows"].items():
        yield f"| `{name}` | {duration(row['median'])} |"
    yield ""
    yield "; ".join(f"{name}: {value:.2f}" for name, value in found["ratios"].items()) + "."


def layer(found: Result) -> Lines:
    """Forward and backward at every size."""
    names = ["ours", "JAX", "nn.RNN", "naive autograd", "torch.compile"]
    yield f"| time, batch, hidden | {' | '.join(names)} | best other / ours |"
    yield f"|---|{'--:|' * len(names)}--:|"
    for row in found["rows"]:
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
        f"The geometric mean of the last column is {mean:.2f}, its minimum {min(ratios):.2f}; "
        f"values below 1: {sum(ratio < 1 for ratio in ratios)} of {len(ratios)}."
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
    if alone := found.get("alone"):
        parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in alone.items())
        bound = 12 * time * batch * hidden**2 / sum(alone.values()) / 1e9
        yield (
            f"Its parts, each measured alone, take: {parts}; together "
            f"{duration(sum(alone.values()))}, {bound:.0f} GFLOP/s."
        )


def memory(found: Result) -> Lines:
    """Peak memory of a training step."""
    base = found["rows"]["naive autograd"]
    fused = found["rows"]["fused"]["median"]
    yield "| training step | peak | of naive | median | of fused |"
    yield "|---|--:|--:|--:|--:|"
    for name, row in found["rows"].items():
        share, times = row["peak"] / base["peak"], row["median"] / fused
        mib = f"{row['peak'] / 2**20:.1f} MiB"
        yield f"| {name} | {mib} | {share:.2f} | {duration(row['median'])} | {times:.2f} |"
    million = found["million"]
    peak = million["peak of the process"] / 1e9
    yield ""
    yield (
        f"A gradient through 1,000,000 steps (64 hidden units, `checkpoint_every=1000`): "
        f"{million['seconds']:.1f} s; peak memory of the whole process, including `import torch`: "
        f"{peak:.2f} GB."
    )


def growth(found: Result) -> Lines:
    """Log-log slopes."""
    yield "| growing | sizes (time, batch, hidden) | median | slope | memory kept |"
    yield "|---|---|---|--:|--:|"
    for name, row in found["series"].items():
        sizes = [", ".join(map(str, size)) for size in row["sizes"]]
        times = [duration(seconds) for seconds in row["seconds"]]
        ends = f"{sizes[0]} to {sizes[-1]}", f"{times[0]} to {times[-1]}"
        slopes = f"{row['slope']:.2f} | {row['slope, memory kept']:.2f}"
        yield f"| {name} | {ends[0]} | {ends[1]} | {slopes} |"
    yield ""


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


def gpu(found: Result) -> Lines:
    """The layer on a GPU, and a sweep there."""
    names = list(found["rows"][0]["seconds"])
    yield f"| time, batch, hidden | {' | '.join(names)} | nn.RNN / ours | error of nn.RNN |"
    yield "|---|" + "--:|" * (len(names) + 2)
    for row in found["rows"]:
        medians = {name: row["seconds"][name]["median"] for name in names}
        times = " | ".join(duration(median) for median in medians.values())
        ratio = medians["nn.RNN"] / medians["ours"]
        error = row["error beside the naive loop's"]["nn.RNN"]
        size = ", ".join(map(str, row["size"]))
        yield f"| {size} | {times} | {ratio:.2f} | {error:.1f} |"
    swept = found["sweep"]
    yield ""
    yield (
        f"A sweep of {swept['networks']:,} networks of {swept['iterations']:,} steps, as one "
        f"batch, takes {swept['seconds']:.0f} s; {swept['exact']:,} are exact at the end. "
        f"The GPU is one {found['device']}."
    )
