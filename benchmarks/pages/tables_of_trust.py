"""The tables of docs/rounded-proof.md, docs/check.md and docs/reliability.md."""

from benchmarks.pages.tables import Lines, Result, duration


def proof_recipe(found: Result) -> Lines:
    """Verdicts after the recipe."""
    rows = found["bits"]
    yield "| state bits | proved | steps of the shortest wrong sum, if refuted | states | time |"
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
        f"{found['exact']} of {found['seeds']} networks are exact on all 16,384 sums of 8 bits; "
        f"{found['at some']} are proved with at least one of these numbers of state bits. "
        f"States and times are medians, on one core. Every proved machine has "
        f"{' or '.join(map(str, smallest))} states after minimisation."
    )


def proof_steps(found: Result) -> Lines:
    """Long random operands."""
    yield (
        f"Wrong output bits: {found['wrong']} of {found['steps']:,}. The operands are random, of "
        f"{found['bits']:,} bits; both dtypes, and permuted hidden units are tried."
    )


def judge_others(found: Result) -> Lines:
    """The mistakes planted in passes of a tanh network, a GRU and an LSTM, by tool."""
    groups = ["one mistake", "two at once", "in no catalogue"]
    yield "| of the mistakes: caught / located / named | " + " | ".join(groups) + " |"
    yield "|---|" + "--:|" * len(groups)
    for tool, networks in found["tools"].items():
        cells = []
        for group in groups:
            rows = [network[group] for network in networks.values()]
            counts = [sum(row[k] for row in rows) for k in ("asked", "caught", "located", "named")]
            cells.append(f"{counts[1]} / {counts[2]} / {counts[3]} of {counts[0]}")
        yield f"| {tool} | {' | '.join(cells)} |"
    refused = sum(n["right passes refused"] for t in found["tools"].values() for n in t.values())
    yield ""
    yield f"Right passes refused, three for each network and tool: {refused}."


def fuzz(found: Result) -> Lines:
    """Mutated files."""
    expected = {
        "refused": "refused",
        "accepted, rightly": "accepted with their meaning unchanged",
        "accepted, its checksum put right": "accepted with a repaired checksum",
    }
    counts = found["found"]
    kinds = ", ".join(f"{counts.get(kind, 0):,} {words}" for kind, words in expected.items())
    yield (
        f"{found['files']:,} mutated weights, checkpoints, certificates and results: {kinds}, "
        f"{sum(n for kind, n in counts.items() if kind not in expected):,} crashes or "
        f"wrong acceptances. The slowest file took {duration(found['slowest'])}; the peak memory "
        f"of the process grew by {found['peak_growth_kib'] / 1024:.1f} MiB."
    )
