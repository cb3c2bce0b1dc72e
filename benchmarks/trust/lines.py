"""What the report says of passes with one mistake or several: what is wrong, and in which lines.

The sets are those of tests/passes/sets/; `--seed` draws new ones of their mistakes; `--tokens`
takes the one-token changes of tests/passes/textbook.py. Of each pass: *accused* are the lines to
change, *exact* if they are the planted ones and no other, *proved* if the whole check says RIGHT
with them. A sentence of a report names a mistake if that mistake's regular expression fits it, or
an equivalent description that the report gives. A sentence that fits no mistake of the set is
named wrongly, or the expression is too narrow: read it.

    python -m benchmarks.trust.lines [--seed 7 | --tokens lstm --every 27]
"""

import argparse
import ast
import inspect
import json
import random
import re
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import keep
from benchmarks.trust.one_token import one_token
from bptt_check.candidate.loading import load_function
from bptt_check.judge.report import Report
from bptt_check.testing import check
from rnn_torch.networks import Network, stock
from tests.passes import textbook
from tests.passes.edits import edited
from tests.passes.sets import gru, lstm, tanh, two_layers
from tests.passes.sets.form import HEAD, Mistake, Pass

FAMILIES = (tanh, gru, lstm, two_layers)
TYPES = f"{HEAD}from typing import Any\nArray, Gradients = np.ndarray, dict\n"


class Case(NamedTuple):
    """A wrong pass of a network, as text, the right one, and the mistakes of a set by keys."""

    name: str
    network: Network
    wrong: str
    right: str
    mistakes: Mapping[str, Mistake]


def main() -> None:
    """Check every case, print what its report says, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", choices=["tanh", "gru", "lstm"])
    parser.add_argument("--every", type=int, default=1, help="only every so manyth")
    parser.add_argument("--seed", type=int, help="draw five sets of two to five mistakes a pass")
    flags = parser.parse_args()
    cases = of_tokens(flags.tokens) if flags.tokens else of_sets(flags.seed)
    found = [judged(case) for case in islice(cases, 0, None, flags.every)]
    seconds = [each.pop("seconds") for each in found]
    result = {key: sum(each[key] for each in found) for key in found[0]}
    result["seconds of a check, median"] = statistics.median(seconds)
    result["seconds of a check, largest"] = max(seconds)
    print(json.dumps(result))
    if flags.tokens or flags.every == 1:
        kind = flags.tokens or ("sets" if flags.seed is None else "drawn")
        keep(f"lines_{kind}", result)


def of_sets(seed: int | None) -> Iterator[Case]:
    """The passes with each set of their mistakes, or with sets that are drawn."""
    for its in (its for family in FAMILIES for its in family.PASSES):
        for keys in its.sets if seed is None else drawn(its, seed):
            mistakes = {key: its.mistakes[key] for key in keys}
            wrong = edited(its.text, ((m.right, m.wrong) for m in mistakes.values()))
            name = f"{its.name}: {' '.join(keys)}"
            yield Case(name, its.network, HEAD + wrong, HEAD + its.text, mistakes)


def drawn(its: Pass, seed: int) -> list[list[str]]:
    """Five sets of two to five mistakes, of those that stand in different places."""
    rng, found = random.Random(f"{seed} {its.name}"), list[list[str]]()
    while len(found) < 5:
        keys = rng.sample(sorted(its.mistakes), rng.randint(2, 5))
        with suppress(ValueError):  # one of them took another's place
            its.made(*keys)
            found.append(keys)
    return found


def of_tokens(name: str) -> Iterator[Case]:
    """The textbook pass with each one-token change that makes it wrong."""
    right = ast.unparse(ast.parse(inspect.getsource(getattr(textbook, name))))
    for mutant in one_token(name):
        yield Case(mutant.description, stock(name), TYPES + mutant.text, TYPES + right, {})


def judged(case: Case) -> dict[str, Any]:
    """The counts of a case; what its report says is printed."""
    wrong = case.wrong.splitlines()
    lines = zip(case.right.splitlines(), wrong, strict=True)
    planted = {f"line {n}" for n, (right, its) in enumerate(lines, 1) if right != its}
    begin = time.perf_counter()
    report = checked(case)
    seconds = round(time.perf_counter() - begin, 1)
    accused = {line.place for line in report.mend.lines} if report.mend else set()
    proved = report.mend is not None and report.mend.proved
    listed = {line.place for line in report.leads.lines} if report.leads else set()
    print(f"{case.name} ({seconds} s): {'proved' if proved else 'not proved'}")
    for place in sorted(planted | accused, key=lambda text: int(text.split()[1])):
        word = "accused" if place in accused & planted else "innocent" if place in accused else "-"
        print(f"  {word} {place}: {wrong[int(place.split()[1]) - 1].strip()}")
    counts = {
        "seconds": seconds,
        "passes": 1,
        "proved": proved,
        "exact": proved and accused == planted,
        "planted lines": len(planted),
        "of these accused": len(accused & planted),
        "innocent lines accused": len(accused - planted),
        "of these listed, with what leads to the gradients": len(listed & planted),
        "lines listed": len(listed),
    }
    return counts | names(case.mistakes, report) if case.mistakes else counts


def names(mistakes: Mapping[str, Mistake], report: Report) -> dict[str, int]:
    """The counts of what is named, which is printed."""
    named, wrongly = naming(mistakes, sentences(report), report.factors)
    for key, mistake in mistakes.items():
        print(f"  planted {'(named)' if key in named else '(not)  '} {key}: {mistake.what}")
    for each in wrongly:
        print(f"  WRONG? {' = '.join(each)}")
    return {
        "at least one named": bool(named),
        "all named": len(named) == len(mistakes),
        "named wrongly": bool(wrongly),
        "mistakes": len(mistakes),
        "mistakes named": len(named),
    }


def checked(case: Case) -> Report:
    """The report of a case, in a file of its own, whose last function is asked."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "candidate.py"
        file.write_text(case.wrong)
        name = [node.name for node in ast.parse(case.wrong).body if hasattr(node, "name")][-1]
        function: Any = load_function(str(file), name)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return check(function, case.network)


def sentences(report: Report) -> list[list[str]]:
    """Every mistake that a report names, with its equivalent descriptions."""
    return [
        [f"{'at one step: ' * explanation.one_step}{mistake.name}", *explanation.also]
        for explanation in report.mistakes or ()
        for mistake in explanation.mistakes
    ]


def naming(
    mistakes: Mapping[str, Mistake], said: Sequence[list[str]], factors: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """The keys of the mistakes that are named, and the sentences that name none of them.

    `factors` say of a gradient what it is, such as a multiple of the right one: they are true, and
    name a mistake if they fit one.
    """

    def fits(key: str, sentences: list[str]) -> bool:
        return any(re.search(mistakes[key].named, sentence) for sentence in sentences)

    every = [*said, *([factor] for factor in factors)]
    named = [key for key in mistakes if any(fits(key, each) for each in every)]
    return named, [each for each in said if not any(fits(key, each) for key in mistakes)]


if __name__ == "__main__":
    main()
