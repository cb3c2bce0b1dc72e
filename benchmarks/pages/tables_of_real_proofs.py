"""The tables of docs/proof.md: the network as trained."""

from benchmarks.pages.tables import Lines, Result, duration


def _sets(spread: Result | None) -> str:
    if spread is None:
        return ""
    return f"{spread['least']:,.0f} to {spread['most']:,.0f}, median {spread['median']:,.0f}"


def _verdicts(row: Result) -> str:
    return " | ".join(str(row.get(status, 0)) for status in ("proved", "refuted", "gave up"))


def real_recipe(found: Result) -> Lines:
    """Verdicts after the recipe, beside those of the network with a rounded state."""
    bits = list(found["rounded"])
    yield (
        f"| as trained | of {found['seeds']} | sets | CPU time | "
        + " | ".join(f"rounded to {b} bits: proved, refuted" for b in bits)
        + " |"
    )
    yield "|---|--:|---|---|" + "---|" * len(bits)
    for status, row in found["verdicts"].items():
        seconds, most = (duration(row["seconds"][name]) for name in ("median", "most"))
        rounded = (
            ", ".join(
                str(found["rounded"][b].get(f"{status}, rounded {verdict}", 0))
                for verdict in ("proved", "refuted")
            )
            for b in bits
        )
        sets = _sets(row["sets"]) if status == "proved" else ""
        yield (
            f"| {status} | {len(row['seeds'])} | {sets} | median {seconds}, at most {most} "
            f"| {' | '.join(rounded)} |"
        )
    wrong = found["verdicts"]["refuted"]["wrong after"]
    memory = max(row["mebibytes"] for row in found["verdicts"].values())
    yield ""
    yield (
        f"Wrong sums have {wrong['least']:.0f} to {wrong['most']:.0f} bits, "
        f"median {wrong['median']:.0f}. A proof gives up at {found['limit']:,} sets. "
        f"Peak memory of a process: {memory:.0f} MiB."
    )


def real_trainings(found: Result) -> Lines:
    """Which training makes networks provable."""
    yield f"| after the recipe, of {found['seeds']} | proved | refuted | gave up | sets |"
    yield "|---|--:|--:|--:|---|"
    for name, row in found["rows"].items():
        yield f"| {name} | {_verdicts(row)} | {_sets(row['sets'])} |"
    yield ""
    yield f"A proof gives up at {found['limit']:,} sets."


def real_until(found: Result) -> Lines:
    """With --until-proved."""
    steps = ("0", "600", "1200", "3000")
    yield f"| | proved | {' | '.join(f'{int(s):,} steps' for s in steps)} | sets | CPU time |"
    yield "|---|--:|" + "--:|" * len(steps) + "---|---|"
    for row in found["rows"]:
        within = (
            str(sum(count for after, count in row["after"].items() if int(after) <= int(s)))
            for s in steps
        )
        median, most = (duration(row["seconds"][name]) for name in ("median", "most"))
        yield (
            f"| {row['dtype']} | **{row['proved']} of {row['seeds']}** | {' | '.join(within)} "
            f"| {_sets(row['sets'])} | median {median}, at most {most} |"
        )
    left = [seed for row in found["rows"] for seed in row["not proved"]]
    memory = max(row["mebibytes"] for row in found["rows"])
    yield ""
    yield (
        f"Seeds not proved: {', '.join(map(str, left)) or 'none'}. "
        f"Peak memory of a process: {memory:.0f} MiB."
    )


def real_targets(found: Result) -> Lines:
    """Other targets."""
    yield f"| learned from random weights | proved of {found['seeds']} | steps | sets |"
    yield "|---|--:|---|---|"
    for name, row in found["rows"].items():
        yield f"| {name} | {row['proved']} | {_sets(row['steps'])} | {_sets(row['sets'])} |"
    yield ""


def real_hidden(found: Result) -> Lines:
    """Other numbers of hidden units."""
    yield f"| hidden units | proved of {found['seeds']} | the first seed | sets |"
    yield "|--:|--:|--:|---|"
    for hidden, row in found["rows"].items():
        first = "" if row["first"] is None else row["first"]
        yield f"| {hidden} | {row['proved']} | {first} | {_sets(row['sets'])} |"
    yield ""


def real_steps(found: Result) -> Lines:
    """Long adversarial runs."""
    yield (
        f"Wrong output bits: {found['wrong']} of {found['steps']:,}, of {found['networks']} proved "
        f"networks. The sums have {found['length']:,} bits, with long carries and repeated words; "
        f"both packages, both dtypes, and permuted hidden units are tried."
    )
