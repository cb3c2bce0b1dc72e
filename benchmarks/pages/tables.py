"""The tables of docs/, a function for each kept result."""

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.speed.layer import best_ratio

Result = dict[str, Any]
Lines = Iterator[str]


def table(head: str, rows: Iterable[Iterable[Any]], left: int = 1) -> Lines:
    """A table with these columns, the first `left` of them to the left, and an empty line."""
    names = head.split(" | ")
    yield f"| {head} |"
    yield f"|{'---|' * left}{'--:|' * (len(names) - left)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def online(found: Result) -> Lines:
    """The recipe's steps in one process."""
    rows = []
    for name, row in by_time(found):
        compiling = found["compile_seconds"].get(name)
        note = f" (after {compiling:.1f} s of compilation)" if compiling else ""
        rows.append((f"{name}{note}", duration(row["median"]), f"{row['naive / this']:.1f}"))
    return table(f"{found['steps']:,} steps | median | naive / this", rows)


def by_time(found: Result) -> list[tuple[str, Result]]:
    """The rows of a result, the fastest first."""
    return sorted(found["rows"].items(), key=lambda item: item[1]["median"])


def layer(found: Result) -> Lines:
    """Forward and backward; the picture has the ratios of all sizes, the table fewer rows."""
    names = ["ours", "JAX", "nn.RNN", "naive autograd", "torch.compile"]
    ends = ((8, 1024), (1, 64), (16, 128, 512))  # of times and batches the ends
    shown = [
        row
        for row in found["rows"]
        if all(size in some for size, some in zip(row["size"], ends, strict=True))
    ]
    rows = (
        [
            ", ".join(map(str, row["size"])),
            *(duration(row["seconds"][n]["median"]) if n in row["seconds"] else "" for n in names),
            f"{best_ratio(row):.2f}",
        ]
        for row in shown
    )
    yield from table(f"time, batch, hidden | {' | '.join(names)} | best other / ours", rows)
    ratios = [best_ratio(row) for row in found["rows"]]
    mean = 1.0
    for ratio in ratios:
        mean *= ratio ** (1 / len(ratios))
    yield (
        f"At all {len(ratios)} sizes the geometric mean of the last column is {mean:.2f}, "
        f"its minimum {min(ratios):.2f}; values below 1: {sum(ratio < 1 for ratio in ratios)}."
    )
    compiling, in_jax = (
        max(row["compile_seconds"].get(name, 0) for row in found["rows"])
        for name in ("torch.compile", "JAX")
    )
    yield (
        f"The times exclude compilation: up to {compiling:.0f} s for torch.compile at 8 steps "
        f"(more at more steps), up to {in_jax:.1f} s for JAX, none for ours."
    )


def many(found: Result) -> Lines:
    """Many seeds."""
    rows = ((name, f"{seconds:.1f}") for name, seconds in found["seconds"].items())
    yield from table(f"{found['networks']:,} networks, {found['cores']} cores | seconds", rows)
    yield f"{found['exact']} of {found['networks']} are exact on all 16,384 sums at the end."


def proof_recipe(found: Result) -> Lines:
    """Verdicts with a rounded state, after the recipe."""
    rows = []
    for bits, row in found["bits"].items():
        wrong = row["counterexample steps"]
        others = f"{wrong[0]} to {wrong[-1]}, median {wrong[len(wrong) // 2]}"
        others += f"; {row['gave up']} gave up" if row["gave up"] else ""
        proved = f"{row['proved']} of {found['seeds']}"
        rows.append([bits, proved, others, f"{row['median states']:,.0f}", times(row["seconds"])])
    head = "state bits | proved | steps of the shortest wrong sum, if refuted | states | time"
    yield from table(head, rows)
    smallest = sorted({n for row in found["bits"].values() for n in row["minimal states"]})
    yield (
        f"{found['exact']} of {found['seeds']} networks are exact on all 16,384 sums of 8 bits; "
        f"{found['at some']} are proved with at least one of these numbers of state bits. "
        f"States are medians. Every proved machine has {' or '.join(map(str, smallest))} states "
        "after minimisation."
    )


def real_recipe(found: Result) -> Lines:
    """Verdicts on the network as trained, after the recipe."""
    verdicts = found["verdicts"]
    rows = (
        [status, len(row["seeds"]), sets(row["sets"]) if status == "proved" else "",
         times(row["seconds"])]
        for status, row in verdicts.items()
    )  # fmt: skip
    yield from table(f"as trained | of {found['seeds']} | sets | CPU time", rows)
    wrong = verdicts["refuted"]["wrong after"]
    yield (
        f"Bits of a wrong sum: {sets(wrong)}. A proof gives up at {found['limit']:,} sets. "
        f"Peak memory of a process: {max(row['mebibytes'] for row in verdicts.values()):.0f} MiB."
    )


def real_until(found: Result) -> Lines:
    """With --until-proved."""
    steps, rows = (0, 600, 1200, 3000), []
    for row in found["rows"]:
        after = [sum(n for a, n in row["after"].items() if int(a) <= s) for s in steps]
        proved = f"**{row['proved']} of {row['seeds']}**"
        rows.append([row["dtype"], proved, *after, sets(row["sets"]), times(row["seconds"])])
    head = " | ".join(f"{s:,} steps" for s in steps)
    yield from table(f"dtype | proved | {head} | sets | CPU time", rows)
    left = [seed for row in found["rows"] for seed in row["not proved"]]
    memory = max(row["mebibytes"] for row in found["rows"])
    yield (
        f"Seeds not proved: {', '.join(map(str, left)) or 'none'}. "
        f"Peak memory of a process: {memory:.0f} MiB."
    )


def sets(spread: Result) -> str:
    """From the least to the most, and the median."""
    return f"{spread['least']:,.0f} to {spread['most']:,.0f}, median {spread['median']:,.0f}"


def times(spread: Result) -> str:
    """The median and the longest of some times."""
    return f"median {duration(spread['median'])}, at most {duration(spread['most'])}"


def judge_others(found: Result) -> Lines:
    """The mistakes planted in passes of a tanh network, a GRU and an LSTM, by tool."""
    groups = ("one mistake", "two at once", "in no catalogue")
    rows = []
    for tool, networks in found["tools"].items():
        cells = [tool]
        for group in groups:
            asked, caught, located, named = (
                sum(network[group][k] for network in networks.values())
                for k in ("asked", "caught", "located", "named")
            )
            cells.append(f"{caught} / {located} / {named} of {asked}")
        rows.append(cells)
    yield from table(f"of the mistakes: caught / located / named | {' | '.join(groups)}", rows)
    refused = sum(n["right passes refused"] for t in found["tools"].values() for n in t.values())
    yield f"Right passes refused, one for each network and tool: {refused}."


def duration(seconds: float) -> str:
    """Three figures, in the unit that suits."""
    unit, size = next((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 0.0)) if seconds >= s)
    count = seconds / (size or 1e-6)
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
