"""Which lines the report says to change, in passes with one mistake or several.

The sets are those of tests/passes/sets/, apart from the edits that are tried; `--seed` draws new
ones of their mistakes; `--tokens` takes the one-token changes of tests/passes/textbook.py. Of
each pass: *accused* are the lines to change, *exact* if they are the planted ones and no other,
*proved* if the whole check says RIGHT with them.

    python -m benchmarks.trust.lines [--family lstm] [--tokens lstm --every 9]
"""

import argparse
import ast
import importlib.util
import inspect
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import keep
from benchmarks.trust.one_token import one_token
from benchmarks.trust.planted_sets import FAMILIES
from bptt_check.judge.report import Report
from bptt_check.testing import check
from rnn_torch.networks import Network, stock
from tests.passes import textbook
from tests.passes.edits import edited
from tests.passes.sets.form import HEAD, Pass

TYPES = f"{HEAD}from typing import Any\nArray, Gradients = np.ndarray, dict\n"


class Case(NamedTuple):
    """A wrong pass of a network, as text, and the right one."""

    name: str
    network: Network
    wrong: str
    right: str


def main() -> None:
    """Check every case, print what is accused, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--tokens", choices=["tanh", "gru", "lstm"])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, help="draw five sets of two to five mistakes a pass")
    flags = parser.parse_args()
    families = [flags.family] if flags.family else list(FAMILIES)
    planted = (p for name in families for p in FAMILIES[name].PASSES)
    cases = (
        of_tokens(flags.tokens)
        if flags.tokens
        else (
            c
            for p in planted
            for c in of_sets(p, p.sets if flags.seed is None else drawn(p, flags.seed))
        )
    )
    found = [judged(case) for case in islice(cases, 0, None, flags.every)]
    result = {
        "passes": len(found),
        "proved": sum(each["proved"] for each in found),
        "exact": sum(each["exact"] for each in found),
        "planted lines": sum(each["planted"] for each in found),
        "of these accused": sum(each["accused"] for each in found),
        "innocent lines accused": sum(each["innocent"] for each in found),
        "of these listed, with what leads to the gradients": sum(each["led"] for each in found),
        "lines listed": sum(each["listed"] for each in found),
        "seconds of a check, median": statistics.median(each["seconds"] for each in found),
        "seconds of a check, largest": max(each["seconds"] for each in found),
    }
    print(json.dumps(result))
    if not flags.family:
        drawn_anew = "" if flags.seed is None else "_drawn"
        keep(f"lines_{flags.tokens}" if flags.tokens else f"lines{drawn_anew}", result)


def drawn(its: Pass, seed: int) -> list[tuple[str, ...]]:
    """Five sets of two to five mistakes, of those that stand in different places."""
    rng, found = random.Random(f"{seed} {its.name}"), list[tuple[str, ...]]()
    while len(found) < 5:
        keys = tuple(rng.sample(sorted(its.mistakes), rng.randint(2, 5)))
        with suppress(ValueError):  # one of them took another's place
            edited(its.text, [(its.mistakes[key].right, its.mistakes[key].wrong) for key in keys])
            found.append(keys)
    return found


def of_sets(its: Pass, sets: Iterable[Sequence[str]]) -> Iterator[Case]:
    """The pass with each of these sets of its mistakes."""
    for keys in sets:
        changes = [(its.mistakes[key].right, its.mistakes[key].wrong) for key in keys]
        name = f"{its.name}: {' '.join(keys)}"
        yield Case(name, its.network, HEAD + edited(its.text, changes), HEAD + its.text)


def of_tokens(name: str) -> Iterator[Case]:
    """The textbook pass with each one-token change that makes it wrong."""
    right = ast.unparse(ast.parse(inspect.getsource(getattr(textbook, name))))
    for mutant in one_token(name):
        yield Case(mutant.description, stock(name), TYPES + mutant.text, TYPES + right)


def judged(case: Case) -> dict[str, Any]:
    """What the report of a case accuses."""
    lines = zip(case.right.splitlines(), case.wrong.splitlines(), strict=True)
    planted = {f"line {n}" for n, (right, wrong) in enumerate(lines, 1) if right != wrong}
    begin = time.perf_counter()
    report = checked(case)
    seconds = round(time.perf_counter() - begin, 1)
    mend = report.mend
    accused = set() if mend is None else {line.place for line in mend.lines}
    proved = mend is not None and mend.proved
    listed = {line.place for line in report.leads.lines} if report.leads else set()
    print(f"{case.name} ({seconds} s): {'proved' if proved else 'not proved'}")
    for place in sorted(planted | accused, key=lambda text: int(text.split()[1])):
        word = "accused" if place in accused & planted else "innocent" if place in accused else "-"
        print(f"  {word} {place}: {case.wrong.splitlines()[int(place.split()[1]) - 1].strip()}")
    return {
        "proved": proved,
        "exact": proved and accused == planted,
        "planted": len(planted),
        "accused": len(accused & planted),
        "innocent": len(accused - planted),
        "led": len(listed & planted),
        "listed": len(listed),
        "seconds": seconds,
    }


def checked(case: Case) -> Report:
    """The report of a case, in a file of its own, whose last function is asked."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidate.py"
        file.write_text(case.wrong)
        spec = importlib.util.spec_from_file_location("candidate", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        own = [v for v in vars(module).values() if getattr(v, "__module__", "") == "candidate"]
        function: Callable[..., Any] = own[-1]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return check(function, case.network)


if __name__ == "__main__":
    main()
