"""How many learned adders are proved with a rounded state after the recipe, and how they run."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from benchmarks.harness import keep
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import minimise, run_rounded
from rnn_numpy.tasks.addition import encode
from rnn_numpy.tasks.exact_sums import count
from rnn_numpy.training.many import cores
from rnn_numpy.training.recipe import Dtype, Recipe, Training
from rnn_numpy.training.sgd import choose

Job = TypeVar("Job")
Result = TypeVar("Result")


def main() -> None:
    """Run the benchmark; print what it finds and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="for each table (%(default)s)")
    parser.add_argument("--only", choices=["recipe", "steps"])
    flags = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "recipe": lambda: after_the_recipe(flags.seeds),
        "steps": lambda: long_sums(10**8),
    }
    for name, part in parts.items():
        if flags.only in (None, name):
            found = part()
            print(name, found, flush=True)
            keep(f"proof_{name}", found)


def trained(recipe: Recipe) -> tuple[Params, np.random.RandomState]:
    """The recipe's last weights, and its generator."""
    training = Training(recipe, choose(None, recipe.hidden))
    for _ in training.run():
        pass
    return training.learner.params(), training.rng


def on_every_core(function: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
    """`function` of each job, in order."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(function, jobs))


def after_the_recipe(seeds: int) -> dict[str, Any]:
    """Exactness and verdicts at several state bits; then the time to a verdict, one at a time."""
    networks = on_every_core(lambda seed: trained(Recipe(seed))[0], range(seeds))
    exact = [count(params, 8) for params in networks]
    rows: dict[int, Any] = {}
    for bits in (4, 5, 6):
        verdicts, seconds = [], []
        for params in networks:
            begin = time.perf_counter()
            verdicts.append(explore(params, bits))
            seconds.append(time.perf_counter() - begin)
        wrong = sorted(v.depth for v in verdicts if v.status == "refuted")
        rows[bits] = {
            "proved": sum(v.status == "proved" for v in verdicts),
            "gave up": sum(v.status == "gave up" for v in verdicts),
            "proved seeds": [s for s, v in enumerate(verdicts) if v.status == "proved"],
            "counterexample steps": wrong,
            "median states": statistics.median(v.states for v in verdicts),
            "minimal states": sorted(
                {len(minimise(v.machine).next) for v in verdicts if v.status == "proved"}
            ),
            "seconds": {"median": statistics.median(seconds), "most": max(seconds)},
        }
    any_bits = {seed for row in rows.values() for seed in row["proved seeds"]}
    return {
        "seeds": seeds,
        "exact": sum(c.exact == c.tried for c in exact),
        "bits": rows,
        "at some": len(any_bits),
    }


def long_sums(steps: int, bits: int = 4096, batch: int = 512) -> dict[str, Any]:
    """Proved networks on random operands, in both dtypes: wrong bits, if any."""
    rng = np.random.default_rng(0)
    done, wrong, seed = 0, 0, 0
    while done < steps:
        seed += 1
        dtypes: tuple[Dtype, ...] = ("float64", "float32")
        for dtype in dtypes:
            params, _ = trained(Recipe(seed, dtype=dtype))
            if explore(params, 5).status != "proved":
                continue
            order = rng.permutation(len(params.W))  # another order of summation
            U, W, V = params
            params = Params(U[:, order], W[order][:, order], V[order])
            a, b = ([int.from_bytes(rng.bytes(bits // 8), "little") for _ in range(batch)]
                    for _ in "ab")  # fmt: skip
            x, y = encode(a, b, bits + 1, dtype)
            outputs, _ = run_rounded(params, x, 5)
            wrong += int(((outputs > 0.5) != (y > 0.5)).sum())
            done += outputs.size
    return {"steps": done, "wrong": wrong, "bits": bits, "networks": seed}


if __name__ == "__main__":
    main()
