"""Write the tables of docs/ from the stored results, and the list of the conditions of `check`.

`make bench` and `make proofs` end with this. A table is between the markers `<!-- table: NAME -->`
and `<!-- end -->`; the rest of a page is written by hand.
"""

import json
import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS
from benchmarks.speed.layer import best_ratio
from bptt_check.networks import CONDITIONS

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("check", "performance", "proof", "rounded-proof", "training")
PAGES = tuple(DOCS / f"{name}.md" for name in NAMES)
Result = dict[str, Any]
Lines = Iterator[str]


def main() -> None:
    """Write the tables and the picture."""
    for page in PAGES:
        page.write_text(with_tables(page.read_text()))
    picture(result("layer"))


def result(name: str) -> Result:
    """A stored result."""
    found: Result = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def with_tables(page: str) -> str:
    """The page with its tables generated again."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "conditions":
            lines = ", ".join(f"`{condition.name}`" for condition in CONDITIONS) + "."
        else:
            found = result(match[1])
            lines = "\n".join([*TABLES[match[1]](found), on(found)])
        return f"<!-- table: {match[1]} -->\n\n{lines}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", replaced, page, flags=re.DOTALL)


def on(found: Result) -> str:
    """The processor, the versions and the date of a measurement."""
    about = found["machine"]
    names = [n for n in about if n not in ("processor", "cores", "date") and about[n]]
    versions = ", ".join(f"{name} {about[name]}" for name in names)
    return f"*{about['processor']}, {about['cores']} cores; {versions}; {about['date']}.*"


def table(head: str, rows: Iterable[Iterable[Any]]) -> Lines:
    """A table with these columns, the first to the left, and an empty line."""
    yield f"| {head} |"
    yield f"|---|{'--:|' * head.count(' | ')}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def online(found: Result) -> Lines:
    """The recipe's steps in one process."""
    rows = []
    for name, row in sorted(found["rows"].items(), key=lambda item: item[1]["median"]):
        compiling = found["compile_seconds"].get(name)
        note = f" (after {compiling:.1f} s of compilation)" if compiling else ""
        rows.append((f"{name}{note}", duration(row["median"]), f"{row['naive / this']:.1f}"))
    return table(f"{found['steps']:,} steps | median | naive / this", rows)


def layer(found: Result) -> Lines:
    """Forward and backward; the picture has the ratios of all sizes, the table fewer rows."""
    names = ["ours", "JAX", "nn.RNN", "naive autograd", "torch.compile"]
    rows = []
    for row in found["rows"]:
        time, batch, hidden = row["size"]
        if time in (8, 1024) and batch in (1, 64) and hidden in (16, 128, 512):
            seconds = [row["seconds"].get(name) for name in names]
            shown = (duration(each["median"]) if each else "" for each in seconds)
            rows.append([f"{time}, {batch}, {hidden}", *shown, f"{best_ratio(row):.2f}"])
    yield from table(f"time, batch, hidden | {' | '.join(names)} | best other / ours", rows)
    ratios = [best_ratio(row) for row in found["rows"]]
    yield (
        f"At all {len(ratios)} sizes the geometric mean of the last column is "
        f"{statistics.geometric_mean(ratios):.2f}, its minimum {min(ratios):.2f}; "
        f"values below 1: {sum(ratio < 1 for ratio in ratios)}."
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
    verdicts, rows = found["verdicts"], []
    for status, row in verdicts.items():
        proved = sets(row["sets"]) if status == "proved" else ""
        rows.append([status, len(row["seeds"]), proved, times(row["seconds"])])
    yield from table(f"as trained | of {found['seeds']} | sets | CPU time", rows)
    yield (
        f"Bits of a wrong sum: {sets(verdicts['refuted']['wrong after'])}. "
        f"A proof gives up at {found['limit']:,} sets. "
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
    yield (
        f"Seeds not proved: {', '.join(map(str, left)) or 'none'}. "
        f"Peak memory of a process: {max(row['mebibytes'] for row in found['rows']):.0f} MiB."
    )


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


TABLES: dict[str, Callable[[Result], Lines]] = {
    each.__name__: each
    for each in (online, layer, many, judge_others, proof_recipe, real_recipe, real_until)
}


def sets(spread: Result) -> str:
    """From the least to the most, and the median."""
    return f"{spread['least']:,.0f} to {spread['most']:,.0f}, median {spread['median']:,.0f}"


def times(spread: Result) -> str:
    """The median and the longest of some times."""
    return f"median {duration(spread['median'])}, at most {duration(spread['most'])}"


def duration(seconds: float) -> str:
    """Three figures, in the unit that suits."""
    unit, size = next((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 0.0)) if seconds >= s)
    count = seconds / (size or 1e-6)
    return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"


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
                ink = "white" if value > 1.8 or value < 0.2 else "black"
                panel.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color=ink)
        panel.set(title=f"{units} hidden units", xlabel="batch")
        panel.set_xticks(range(len(batches)), map(str, batches))
        panel.set_yticks(range(len(times)), map(str, times))
    panels[0].set_ylabel("time steps")
    figure.colorbar(shown, ax=list(panels), label="best other / ours", extend="max")
    figure.savefig(DOCS / "performance-layer.png", dpi=150)


if __name__ == "__main__":
    main()
