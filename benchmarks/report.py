"""The tables of docs/, made from the kept results: `make bench` and `make proofs` end with this.

They stand between markers, `<!-- table: NAME -->` and `<!-- end -->`; the rest of a
page is written by hand.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import RESULTS
from layer import best_ratio

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (
    DOCS.parent / "README.md",
    *(DOCS / f"{name}.md" for name in ("check", "performance", "proof", "reliability")),
)
#: Tables that are made from another result than the one of their name.
SOURCES = {"engines": "online"}
PICTURE = DOCS / "performance-layer.png"
Result = dict[str, Any]
Lines = Iterator[str]


def main() -> int:
    """Write the tables and the picture; with --check only say whether they are current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    flags = parser.parse_args()
    pages = {page: page.read_text() for page in PAGES}
    made = {page: with_tables(text) for page, text in pages.items()}
    if flags.check:
        return int(made != pages)
    for page, text in made.items():
        page.write_text(text)
    picture(result("layer"))
    return 0


def result(name: str) -> Result:
    """A kept result."""
    found: Result = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def with_tables(page: str) -> str:
    """The page with its tables made anew."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        found = result(SOURCES.get(name, name))
        lines = "\n".join([*TABLES[name](found), on(found)])
        return f"<!-- table: {name} -->\n\n{lines}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def online(found: Result) -> Lines:
    """The recipe's steps in one process."""
    yield f"| {found['steps']:,} steps | median | naive / this |"
    yield "|---|--:|--:|"
    for name, row in sorted(found["rows"].items(), key=lambda item: item[1]["median"]):
        compiling = found["compile_seconds"].get(name)
        note = f" (and {compiling:.1f} s compiling, the first time)" if compiling else ""
        yield f"| {name}{note} | {duration(row['median'])} | {row['naive / this']:.1f} |"
    yield ""


def engines(found: Result) -> Lines:
    """What --engine chooses from, beside what it replaces."""
    rows = {
        "compiled kernel": "`compiled`: the whole loop as one kernel; the default on a CPU",
        "NumPy loop": "`numpy`: its plain twin (`rnn_numpy`)",
        "torch: compiled": "`compiled` in `rnn_torch`, on the parameters' own memory",
        "torch: fused": "`fused`: the layer as one operation, its backward by hand; elsewhere",
        "torch: autograd": "`autograd`: torch's own, step by step",
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
        f"Geometric mean of the last column {mean:.2f}; below 1 at "
        f"{sum(ratio < 1 for ratio in ratios)} of {len(ratios)} sizes, at worst {min(ratios):.2f}."
    )
    compiling = [row["compile_seconds"].get("torch.compile", 0) for row in found["rows"]]
    in_jax = [row["compile_seconds"].get("JAX", 0) for row in found["rows"]]
    yield (
        f"Compile time, not in the table: torch.compile up to {max(compiling):.0f} s at 8 steps "
        f"(more with every step), JAX up to {max(in_jax):.1f} s, ours none."
    )
    time, batch, hidden = found["rows"][-1]["size"]
    rate = 12 * time * batch * hidden**2 / found["rows"][-1]["seconds"]["ours"]["median"] / 1e9
    best = ", ".join(f"{name} {value:.0f}" for name, value in found["gemm"].items())
    yield f"At the last size ours does {rate:.0f} GFLOP/s; one large product: {best}."


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
        f"{million['seconds']:.1f} s; the whole process, `import torch` included, peaks at "
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


def proof_recipe(found: Result) -> Lines:
    """Verdicts after the recipe."""
    rows = found["bits"]
    yield "| state bits | proved | steps of the others' shortest wrong sum | states | verdict in |"
    yield "|--:|--:|---|--:|--:|"
    for bits, row in rows.items():
        wrong = row["counterexample steps"]
        middle = wrong[len(wrong) // 2]
        others = f"{wrong[0]} to {wrong[-1]}, median {middle}"
        if row["gave up"]:
            others += f"; {row['gave up']} gave up"
        times = f"{duration(row['seconds']['median'])}, at most {duration(row['seconds']['most'])}"
        yield (
            f"| {bits} | {row['proved']} of {found['seeds']} | {others} "
            f"| {row['median states']:,.0f} | {times} |"
        )
    yield ""
    smallest = sorted({count for row in rows.values() for count in row["minimal states"]})
    yield (
        f"{found['exact']} of {found['seeds']} are exact on all 16,384 sums of 8 bits; "
        f"{found['at some']} are proved at some of these. "
        f"States and times are medians, on one core. Minimised, every proved machine has "
        f"{' or '.join(map(str, smallest))} states. "
        f"A state takes {found['bytes a state']:.0f} bytes at the peak of an exploration."
    )


def proof_strategies(found: Result) -> Lines:
    """Other ways to go on."""
    yield f"| proved of {found['seeds']} | after the recipe | 20,000 steps more | 80,000 more |"
    yield "|---|--:|--:|--:|"
    for name, row in found["rows"].items():
        cells = (str(row.get(steps, "")) for steps in ("0", "20000", "80000"))
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def proof_until(found: Result) -> Lines:
    """With --until-proved."""
    steps = list(found["rows"][0]["after"])
    yield f"| state bits | proved | {' | '.join(f'{int(s):,} steps' for s in steps)} | seconds |"
    yield "|---|--:|" + "--:|" * (len(steps) + 1)
    for row in found["rows"]:
        cells = (str(row["after"][s]) for s in steps)
        yield (
            f"| {row['state_bits']}, {row['dtype']} | **{row['proved']} of {row['seeds']}** "
            f"| {' | '.join(cells)} | {row['seconds']:.0f} |"
        )
    yield ""
    left = [
        f"{row['state_bits']} bits, {row['dtype']}: seeds {', '.join(map(str, row['not proved']))}"
        for row in found["rows"]
        if row["not proved"]
    ]
    yield "Not proved: " + ("; ".join(left) if left else "none") + "."


def proof_hidden(found: Result) -> Lines:
    """Other numbers of hidden units."""
    yield f"| hidden units | proved of {found['seeds']} | the first seed | states, median |"
    yield "|--:|--:|--:|--:|"
    for hidden, row in found["rows"].items():
        first, states = ("" if row[name] is None else f"{row[name]:,.0f}"
                         for name in ("first", "median states"))  # fmt: skip
        yield f"| {hidden} | {row['proved']} | {first} | {states} |"
    yield ""


def proof_steps(found: Result) -> Lines:
    """Long random operands."""
    yield (
        f"{found['steps']:,} output bits of random operands of {found['bits']:,} bits, both "
        f"packages, both dtypes, the units in another order: {found['wrong']} wrong."
    )


def others(found: Result) -> Lines:
    """What other checkers see."""
    names = list(next(iter(found["problems"].values())))
    yield f"| of {found['mistakes']} mistakes, seen on | " + " | ".join(names) + " |"
    yield "|---|" + "--:|" * len(names)
    for problem, row in found["problems"].items():
        cells = (
            str(row[name]["seen"]) if row[name]["accepts right"] else "rejects what is right, too"
            for name in names
        )
        yield f"| {problem} | " + " | ".join(cells) + " |"


def kills(found: Result) -> Lines:
    """Runs that were killed."""
    yield "| command | kills | half-written or lost | other ends than without |"
    yield "|---|--:|--:|--:|"
    for name, row in found["commands"].items():
        lost = row["lost"] if "lost" in row else row["no whole checkpoint"]
        other = row["different"] if "different" in row else row["different ends"]
        yield f"| `{name}` | {row['kills']} | {lost} | {other} |"
    yield ""
    yield f"{found['kills']} kills in all."


def torchrun(found: Result) -> Lines:
    """A sweep of several processes, some of them killed."""
    yield (
        f"{found['seeds']:,} networks in {found['processes']} processes, {found['kills']} of them "
        f"killed: {found['complete']:,} complete after {found['seconds']} s, {found['lost']} "
        f"finished ones lost, {found['different']} different from those of one process, "
        f"{found['left behind']} files left behind, exit code {found['exit code']}."
    )


def fuzz(found: Result) -> Lines:
    """Mutated files."""
    kinds = ", ".join(f"{count:,} {what}" for what, count in sorted(found["found"].items()))
    yield (
        f"{found['files']:,} mutated weights, checkpoints, certificates and results: {kinds}; "
        f"crashes and wrong acceptances would be named here. The slowest took "
        f"{duration(found['slowest'])}; reading them all raised the peak of the process's memory "
        f"by {found['peak_growth_kib'] / 1024:.1f} MiB."
    )


def on(found: Result) -> str:
    """What it was measured on."""
    about = found["machine"]
    names = [name for name in ("python", "numpy", "torch", "numba", "jax") if about[name]]
    versions = ", ".join(f"{name} {about[name]}" for name in names)
    return f"*{about['processor']}, {about['cores']} cores; {versions}; {about['date']}.*"


def duration(seconds: float) -> str:
    """Three figures, in the unit that suits."""
    unit, size = next((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 0.0)) if seconds >= s)
    count = seconds / (size or 1e-6)
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"


TABLES: dict[str, Callable[[Result], Lines]] = {
    table.__name__: table
    for table in (
        online,
        process,
        layer,
        memory,
        growth,
        many,
        proof_recipe,
        proof_strategies,
        proof_until,
        proof_hidden,
        proof_steps,
        engines,
        others,
        kills,
        torchrun,
        fuzz,
    )
}


def picture(found: Result) -> None:
    """The best other contender's time over ours, a panel for each number of hidden units."""
    from matplotlib.figure import Figure

    rows = {tuple(row["size"]): row for row in found["rows"]}
    times, batches, hidden = (sorted({size[axis] for size in rows}) for axis in range(3))
    figure = Figure(figsize=(2.1 * len(hidden) + 1.2, 3.1), layout="constrained")
    panels = figure.subplots(1, len(hidden), sharey=True, squeeze=False)[0]
    for panel, units in zip(panels, hidden, strict=True):
        values = [[best_ratio(rows[t, b, units]) for b in batches] for t in times]
        shown = panel.imshow(values, cmap="RdYlGn", vmin=0, vmax=2)
        for i, line in enumerate(values):
            for j, value in enumerate(line):
                panel.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9)
        panel.set(title=f"{units} hidden units", xlabel="batch")
        panel.set_xticks(range(len(batches)), map(str, batches))
        panel.set_yticks(range(len(times)), map(str, times))
    panels[0].set_ylabel("time steps")
    figure.colorbar(shown, ax=list(panels), label="best other / ours", extend="max")
    figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
