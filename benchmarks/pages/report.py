"""Write the tables of docs/ from the stored results, and the list of the conditions of `check`.

`make bench` and `make proofs` end with this.

A table is between the markers `<!-- table: NAME -->` and `<!-- end -->`; the rest of a page is
written by hand.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import RESULTS
from benchmarks.pages import tables
from benchmarks.pages.tables import Lines, Result
from benchmarks.speed.layer import best_ratio
from bptt_check.networks import CONDITIONS

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("check", "performance", "proof", "rounded-proof", "training")
PAGES = tuple(DOCS / f"{name}.md" for name in NAMES)
PICTURE = DOCS / "performance-layer.png"


def main() -> int:
    """Write the tables and the picture; with --check only test whether they are up to date."""
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
    """A stored result."""
    found: Result = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def with_tables(page: str) -> str:
    """The page with its tables generated again."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        if name == "conditions":
            lines = ", ".join(f"`{condition.name}`" for condition in CONDITIONS) + "."
        else:
            found = result(name)
            lines = "\n".join([*TABLES[name](found), on(found)])
        return f"<!-- table: {name} -->\n\n{lines}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def on(found: Result) -> str:
    """The processor, the versions and the date of a measurement."""
    about = found["machine"]
    names = [n for n in about if n not in ("processor", "cores", "date") and about[n]]
    versions = ", ".join(f"{name} {about[name]}" for name in names)
    return f"*{about['processor']}, {about['cores']} cores; {versions}; {about['date']}.*"


TABLES: dict[str, Callable[[Result], Lines]] = {
    name: getattr(tables, name)
    for name in (
        *("online", "layer", "many", "judge_others"),
        *("proof_recipe", "real_recipe", "real_until"),
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
                ink = "white" if value > 1.8 or value < 0.2 else "black"
                panel.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color=ink)
        panel.set(title=f"{units} hidden units", xlabel="batch")
        panel.set_xticks(range(len(batches)), map(str, batches))
        panel.set_yticks(range(len(times)), map(str, times))
    panels[0].set_ylabel("time steps")
    figure.colorbar(shown, ax=list(panels), label="best other / ours", extend="max")
    figure.savefig(PICTURE, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
