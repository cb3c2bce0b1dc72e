"""The tables of docs/rounded-proof.md, docs/check.md and docs/reliability.md, likewise."""

from benchmarks.pages.tables import Lines, Result, duration


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
