"""What the report says of several mistakes at once, in passes whose source it does not see.

The sets are those of tests/passes/sets/. A sentence of a report names a mistake if that mistake's
regular expression fits it, or an equivalent description that the report gives. A sentence that
fits no mistake of the set is named wrongly, or the expression is too narrow: read it.

    python -m benchmarks.trust.planted_sets [--family lstm] [--alone] [--reports FILE]
"""

import argparse
import json
import re
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import keep
from bptt_check.judge.report import Report
from bptt_check.testing import check
from tests.passes.sets import gru, lstm, tanh, two_layers
from tests.passes.sets.form import Pass

FAMILIES = {"tanh": tanh, "gru": gru, "lstm": lstm, "two_layers": two_layers}


class Named(NamedTuple):
    """A pass with mistakes, and its report: `sentences` have equivalent descriptions beside them.

    `factors` say of a gradient what it is, such as a multiple of the right one: they are true, and
    name a mistake if they fit one.
    """

    right: str
    keys: list[str]
    seconds: float
    verdict: str
    sentences: list[list[str]]
    factors: list[str]


def main() -> None:
    """Check every set, print what its report names, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--alone", action="store_true", help="each mistake alone, not the sets")
    parser.add_argument("--reports", type=Path, help="keep the reports here; judge those that are")
    flags = parser.parse_args()
    passes = [p for name in FAMILIES if flags.family in (None, name) for p in FAMILIES[name].PASSES]
    known = {}
    if flags.reports and flags.reports.exists():
        kept = (Named(*each) for each in json.loads(flags.reports.read_text()))
        known = {(each.right, *each.keys): each for each in kept}
    judged = []
    for right in passes:
        for keys in [[key] for key in right.mistakes] if flags.alone else right.sets:
            case = (right.name, *keys)
            if case not in known:
                known[case] = checked(right, keys)
                if flags.reports:
                    flags.reports.write_text(json.dumps([*known.values()], indent=1) + "\n")
            judged.append(judgement(right, known[case]))
            print("\n".join(shown(right, known[case])), flush=True)
    result = summary(judged)
    print(" ".join(f"{key}: {value};" for key, value in result.items()))
    if not (flags.family or flags.alone):
        keep("planted_sets", result)


def checked(right: Pass, keys: Sequence[str]) -> Named:
    """What the report of a pass with these mistakes says."""
    backward, begin = right.made(*keys), time.perf_counter()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check(backward, right.network)
    seconds = time.perf_counter() - begin
    said = [*explanations(report)]
    return Named(right.name, [*keys], round(seconds, 1), report.verdict, said, [*report.factors])


def explanations(report: Report) -> Iterator[list[str]]:
    """Every mistake that a report names, with its equivalent descriptions."""
    for explanation in report.mistakes or ():
        at = "at one step: " if explanation.one_step else ""
        for mistake in explanation.mistakes:
            yield [f"{at}{mistake.name}", *explanation.also]


def fits(right: Pass, key: str, sentences: Sequence[str]) -> bool:
    """Whether one of these descriptions says this mistake."""
    return any(re.search(right.mistakes[key].named, sentence) for sentence in sentences)


def judgement(right: Pass, named: Named) -> dict[str, Any]:
    """Which mistakes are named, and the sentences that name none of them."""
    said = [*named.sentences, *([factor] for factor in named.factors)]
    return {
        "seconds": named.seconds,
        "keys": named.keys,
        "named": [key for key in named.keys if any(fits(right, key, s) for s in said)],
        "wrongly": [s for s in named.sentences if not any(fits(right, k, s) for k in named.keys)],
    }


def shown(right: Pass, named: Named) -> Iterator[str]:
    """A set, and what its report names, a line each."""
    found = judgement(right, named)
    yield f"{right.name} ({named.seconds:.1f} s, {named.verdict}):"
    for key in named.keys:
        yield f"  planted {'(named)' if key in found['named'] else '(not)  '} {key}: " + (
            right.mistakes[key].what
        )
    for sentences in named.sentences:
        yield f"  report {'WRONG? ' if sentences in found['wrongly'] else ''}{sentences[0]}" + (
            f" = {'; '.join(sentences[1:])}" if sentences[1:] else ""
        )
    yield from (f"  factor {factor}" for factor in named.factors)


def summary(judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many sets have one mistake named, all, one named wrongly; how long they took."""
    return {
        "sets": len(judged),
        "at least one named": sum(bool(each["named"]) for each in judged),
        "all named": sum(each["named"] == each["keys"] for each in judged),
        "named wrongly": sum(bool(each["wrongly"]) for each in judged),
        "mistakes": sum(len(each["keys"]) for each in judged),
        "mistakes named": sum(len(each["named"]) for each in judged),
        "seconds, median": statistics.median(each["seconds"] for each in judged),
        "seconds, largest": max(each["seconds"] for each in judged),
    }


if __name__ == "__main__":
    main()
