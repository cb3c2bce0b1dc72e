"""How many learned adders are proved: after the recipe, with --until-proved, and how small."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from benchmarks.harness import keep
from rnn_numpy.elman_network.model import forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import Verdict, minimise
from rnn_numpy.tasks.addition import encode
from rnn_numpy.tasks.exact_sums import count
from rnn_numpy.training.many import cores
from rnn_numpy.training.recipe import Dtype, Recipe, Training
from rnn_numpy.training.sgd import choose, numpy_learner
from rnn_numpy.training.until_proved import until_proved

Job = TypeVar("Job")
Result = TypeVar("Result")
MOST_STEPS = 200_000


def main() -> None:
    """Run the benchmark; print what it finds and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="for each table (%(default)s)")
    parser.add_argument("--many", type=int, default=1000, help="until proved (%(default)s)")
    parser.add_argument("--only", choices=["recipe", "until", "hidden", "steps"])
    flags = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "recipe": lambda: after_the_recipe(flags.seeds),
        "until": lambda: until(flags.seeds, flags.many),
        "hidden": lambda: hidden_sizes(flags.seeds),
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


def _until(job: tuple[Recipe, int]) -> tuple[str, int, int]:
    recipe, bits = job
    params, rng = trained(recipe)
    most = MOST_STEPS - recipe.iterations
    *_, outcome = until_proved(recipe, params, rng, bits, numpy_learner, most_steps=most)
    assert isinstance(outcome.verdict, Verdict)
    return outcome.verdict.status, outcome.steps, outcome.verdict.states


def until(seeds: int, many: int) -> dict[str, Any]:
    """--until-proved: how many are proved after how many steps past the recipe."""
    rows = []
    double: Dtype = "float64"
    for bits, dtype, some in (
        (5, double, many),
        (4, double, seeds),
        (6, double, seeds),
        (5, "float32", seeds),
    ):
        begin = time.perf_counter()
        recipes = [Recipe(seed, dtype=dtype) for seed in range(some)]
        outcomes = on_every_core(_until, [(recipe, bits) for recipe in recipes])
        steps = [taken for status, taken, _ in outcomes if status == "proved"]
        rows.append(
            {
                "state_bits": bits,
                "dtype": dtype,
                "seeds": some,
                "proved": len(steps),
                "after": {str(s): sum(t <= s for t in steps)
                          for s in (0, 1000, 5000, 20_000, 40_000, 180_000)},
                "not proved": [s for s, o in enumerate(outcomes) if o[0] != "proved"],
                "seconds": time.perf_counter() - begin,
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    return {"most_steps": MOST_STEPS, "rows": rows}


def hidden_sizes(seeds: int, state_bits: int = 5) -> dict[str, Any]:
    """--until-proved for other numbers of hidden units: how many seeds, and the first of them."""
    rows = {}
    for hidden in (2, 3, 4, 5, 6, 8, 12, 16):
        recipes = [Recipe(seed, hidden=hidden) for seed in range(seeds)]
        outcomes = on_every_core(_until, [(recipe, state_bits) for recipe in recipes])
        proved = [seed for seed, outcome in enumerate(outcomes) if outcome[0] == "proved"]
        states = [outcomes[seed][2] for seed in proved]
        rows[hidden] = {
            "proved": len(proved),
            "first": proved[0] if proved else None,
            "median states": statistics.median(states) if states else None,
        }
        print(hidden, rows[hidden], flush=True)
    return {"seeds": seeds, "state_bits": state_bits, "rows": rows}


def long_sums(steps: int, bits: int = 4096, batch: int = 512) -> dict[str, Any]:
    """Proved networks on random operands, in both packages and dtypes: wrong bits, if any."""
    import torch

    from rnn_torch import ElmanRNN

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
            by_numpy, _ = forward(params, x, state_bits=5)
            with torch.inference_mode():
                by_torch, _ = ElmanRNN.from_params(params)(torch.from_numpy(x), state_bits=5)
            for outputs in (by_numpy, by_torch.numpy()):
                wrong += int(((outputs > 0.5) != (y > 0.5)).sum())
                done += outputs.size
    return {"steps": done, "wrong": wrong, "bits": bits, "networks": seed}


if __name__ == "__main__":
    main()
