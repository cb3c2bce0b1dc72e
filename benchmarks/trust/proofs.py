"""How many learned adders are proved: with a rounded state, as trained, and with --until-proved."""

import argparse
import os
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.harness import keep
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import minimise
from rnn_numpy.real_proof.verdict import LIMIT, GaveUp, Proved, RealVerdict, Refuted, prove_real
from rnn_numpy.tasks.exact_sums import count
from rnn_numpy.training.many import cores
from rnn_numpy.training.recipe import Dtype, Recipe, Training
from rnn_numpy.training.sgd import choose
from rnn_numpy.training.until_proved import FEW_SETS, until_proved

Row = dict[Any, Any]
#: `map`, on every core.
Map = Callable[[Callable[[Any], Row], Iterable[Any]], Iterable[Row]]
BITS = (4, 5, 6)


def main() -> None:
    """Run the benchmark; print what it finds and keep the numbers."""
    parts: dict[str, Callable[[Map, int], Row]] = {
        "proof_recipe": rounded, "real_recipe": as_trained, "real_until": until
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="in float64 ten times as many until "
                        "they are proved (%(default)s)")  # fmt: skip
    parser.add_argument("--only", choices=parts)
    flags = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as processes:
        for name, part in parts.items():
            if flags.only in (None, name):
                found = part(processes.map, flags.seeds)
                print(name, found, flush=True)
                keep(name, found)


def trained(recipe: Recipe) -> tuple[Params, np.random.RandomState]:
    """The recipe's last weights, and its generator."""
    training = Training(recipe, choose(None, recipe.hidden))
    for _ in training.run():
        pass
    return training.learner.params(), training.rng


def rounded(each: Map, seeds: int) -> Row:
    """Exactness after the recipe, and verdicts at several state bits."""
    networks, rows = [*each(_rounded, range(seeds))], {}
    for bits in BITS:
        some = [one[bits] for one in networks]
        proved = [seed for seed, one in enumerate(some) if one["status"] == "proved"]
        rows[bits] = {
            "proved": len(proved),
            "gave up": sum(one["status"] == "gave up" for one in some),
            "proved seeds": proved,
            "counterexample steps": sorted(o["depth"] for o in some if o["status"] == "refuted"),
            "median states": statistics.median(one["states"] for one in some),
            "minimal states": sorted({some[seed]["minimal"] for seed in proved}),
            "seconds": spread([one["seconds"] for one in some]),
        }
    any_bits = {seed for row in rows.values() for seed in row["proved seeds"]}
    exact = sum(one["exact"] for one in networks)
    return {"seeds": seeds, "exact": exact, "bits": rows, "at some": len(any_bits)}


def _rounded(seed: int) -> Row:
    params, _ = trained(Recipe(seed))
    sums = count(params, 8)
    found: Row = {"exact": sums.exact == sums.tried}
    for bits in BITS:
        begin = time.process_time()
        verdict = explore(params, bits)
        found[bits] = {
            "status": verdict.status,
            "seconds": time.process_time() - begin,
            "states": verdict.states,
            "depth": getattr(verdict, "depth", None),
            "minimal": len(minimise(verdict.machine).next) if verdict.status == "proved" else None,
        }
    return found


def as_trained(each: Map, seeds: int) -> Row:
    """The verdict on the network itself, after the recipe."""
    rows, verdicts = [*each(_as_trained, range(seeds))], {}
    for status in ("proved", "refuted", "gave up"):
        some = [row for row in rows if row["status"] == status]
        verdicts[status] = {
            "seeds": [row["seed"] for row in some],
            "sets": spread([row["sets"] for row in some]),
            "seconds": spread([row["seconds"] for row in some]),
            "wrong after": spread([row["wrong after"] for row in some if row["wrong after"]]),
            "mebibytes": max((row["mebibytes"] for row in some), default=None),
        }
    return {"seeds": seeds, "limit": LIMIT, "verdicts": verdicts}


def _as_trained(seed: int) -> Row:
    params, _ = trained(Recipe(seed))
    begin = time.process_time()
    verdict = prove_real(params)
    wrong = len(verdict.inputs) if isinstance(verdict, Refuted) else None
    return {"seed": seed, "wrong after": wrong, **_about(verdict, begin)}


def until(each: Map, seeds: int) -> Row:
    """--until-proved without state bits: after how many steps, with how many sets, how long."""
    rows = []
    kinds: tuple[tuple[Dtype, int], ...] = (("float64", 10 * seeds), ("float32", seeds))
    for dtype, some in kinds:
        found = [*each(_until, [Recipe(seed, dtype=dtype) for seed in range(some)])]
        proved = [one for one in found if one["status"] == "proved"]
        rows.append({
            "dtype": dtype,
            "seeds": some,
            "proved": len(proved),
            "after": dict(sorted(Counter(one["steps"] for one in proved).items())),
            "not proved": [i for i, one in enumerate(found) if one["status"] != "proved"],
            "sets": spread([one["sets"] for one in proved]),
            "seconds": spread([one["seconds"] for one in proved]),
            "mebibytes": max(one["mebibytes"] for one in found),
        })  # fmt: skip
    return {"limit": FEW_SETS, "rows": rows}


def _until(recipe: Recipe) -> Row:
    params, _ = trained(recipe)
    begin = time.process_time()
    *_, outcome = until_proved(params, recipe.seed, most_steps=12_000)
    return {"steps": outcome.steps, **_about(outcome.verdict, begin)}


def _about(verdict: RealVerdict, begin: float) -> Row:
    """Its status, the sets of the cover or of the last search, CPU time and peak memory."""
    match verdict:
        case Proved():
            sets = len(verdict.cover.q)
        case GaveUp():
            sets = verdict.reason.sets
        case _:
            sets = 0
    return {
        "status": verdict.status,
        "sets": sets,
        "seconds": time.process_time() - begin,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """The least, the median and the largest, if there are any."""
    if not values:
        return None
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


if __name__ == "__main__":
    main()
