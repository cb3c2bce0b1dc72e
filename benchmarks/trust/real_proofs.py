"""How many networks are proved as trained, after the recipe and after other trainings; how long."""

import argparse
import functools
import os
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int64

from benchmarks.harness import keep
from benchmarks.trust.proofs import trained
from rnn_numpy.elman_network.model import forward
from rnn_numpy.elman_network.params import Params, initial_params
from rnn_numpy.proof.explore import explore
from rnn_numpy.real_proof.verdict import LIMIT, GaveUp, Proved, RealVerdict, Refuted, prove_real
from rnn_numpy.tasks.addition import draw_pairs
from rnn_numpy.tasks.targets import Target, addition, by_name
from rnn_numpy.training.contraction import Contraction
from rnn_numpy.training.many import cores
from rnn_numpy.training.recipe import Dtype, Recipe
from rnn_numpy.training.sgd import numpy_learner
from rnn_numpy.training.until_proved import FEW_SETS, ROUND, until_proved

Job = TypeVar("Job")
Result = TypeVar("Result")
STATE_BITS = (4, 5, 6)
SGD_STEPS, NOISE = 20_000, 0.05
#: Networks that are run on, and the steps of a sum.
NETWORKS, LENGTH = 20, 4096


def main() -> None:
    """Run the benchmark; print what it finds and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="for each table (%(default)s)")
    parser.add_argument("--many", type=int, default=1000, help="until proved (%(default)s)")
    parser.add_argument("--workers", type=int, default=cores(), help="processes (%(default)s)")
    names = ("recipe", "trainings", "until", "targets", "hidden", "steps")
    parser.add_argument("--only", choices=names)
    flags = parser.parse_args()
    on_every_core = functools.partial(_on_every_core, flags.workers)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "recipe": lambda: after_the_recipe(on_every_core, flags.seeds),
        "trainings": lambda: trainings(on_every_core, flags.seeds // 2),
        "until": lambda: until(on_every_core, flags.seeds, flags.many),
        "targets": lambda: other_targets(on_every_core, 10),
        "hidden": lambda: hidden_sizes(on_every_core, 10),
        "steps": lambda: long_runs(on_every_core, 10**8),
    }
    for name in names if flags.only is None else [flags.only]:
        found = parts[name]()
        print(name, found, flush=True)
        keep(f"real_{name}", found)


def _on_every_core(
    workers: int, function: Callable[[Job], Result], jobs: Iterable[Job]
) -> list[Result]:
    """`function` of each job, in order, each process with one thread."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, jobs))


OnEveryCore = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"least": min(values), "median": statistics.median(values), "most": max(values)}


def after_the_recipe(on_every_core: OnEveryCore, seeds: int) -> dict[str, Any]:
    """The verdict on the network itself, and on the network with a rounded state, seed by seed."""
    rows = on_every_core(_after_the_recipe, range(seeds))
    by_status = {
        status: [row for row in rows if row["status"] == status]
        for status in ("proved", "refuted", "gave up")
    }
    rounded = {
        bits: Counter(f"{row['status']}, rounded {row['rounded'][bits]}" for row in rows)
        for bits in STATE_BITS
    }
    return {
        "seeds": seeds,
        "limit": LIMIT,
        "verdicts": {
            status: {
                "seeds": [row["seed"] for row in some],
                "sets": _spread([row["sets"] for row in some]),
                "seconds": _spread([row["seconds"] for row in some]),
                "wrong after": _spread([row["wrong after"] for row in some if row["wrong after"]]),
                "mebibytes": max((row["mebibytes"] for row in some), default=None),
            }
            for status, some in by_status.items()
        },
        "rounded": {bits: dict(sorted(counts.items())) for bits, counts in rounded.items()},
    }


def sets_of(verdict: RealVerdict) -> int:
    """The number of sets of the cover, or of the last search."""
    match verdict:
        case Proved():
            return len(verdict.cover.q)
        case Refuted():
            return 0
        case GaveUp():
            return verdict.reason.sets


def _after_the_recipe(seed: int) -> dict[str, Any]:
    params, _ = trained(Recipe(seed))
    begin = time.process_time()
    verdict = prove_real(params)
    seconds = time.process_time() - begin
    return {
        "seed": seed,
        "status": verdict.status,
        "sets": sets_of(verdict),
        "seconds": seconds,
        "wrong after": len(verdict.inputs) if isinstance(verdict, Refuted) else None,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rounded": {bits: explore(params, bits).status for bits in STATE_BITS},
    }


class NoisyWeights(Contraction):
    """The gradient at weights that are off by a factor of about 1 +- NOISE, without a penalty."""

    def _gradient(self, params: Params, inputs: Int64[np.ndarray, "steps sequences"]) -> Params:
        noisy = Params(*(w * (1 + NOISE * self.rng.standard_normal(w.shape)) for w in params))
        return super()._gradient(noisy, inputs)


def _sgd(params: Params, rng: np.random.RandomState, bits: int) -> Params:
    learner = numpy_learner(params, Recipe(bits=bits))
    learner.descend(draw_pairs(rng, bits, SGD_STEPS))
    return learner.params()


def _contraction(params: Params, seed: int, kind: type[Contraction], penalty: float) -> Params:
    training = kind(params, addition, seed, penalty=penalty)
    training.train(ROUND)
    return training.params


TRAININGS: dict[str, Callable[[Params, np.random.RandomState, int], Params]] = {
    "20,000 steps of SGD more": lambda params, rng, seed: _sgd(params, rng, 8),
    "the same, operands of 24 bits": lambda params, rng, seed: _sgd(params, rng, 24),
    "600 steps of Adam": lambda params, rng, seed: _contraction(params, seed, Contraction, 0),
    "the same, noisy weights": lambda params, rng, seed: _contraction(
        params, seed, NoisyWeights, 0
    ),
    "the same, the penalty (14)": lambda params, rng, seed: _contraction(
        params, seed, Contraction, 0.03
    ),
}


def trainings(on_every_core: OnEveryCore, seeds: int) -> dict[str, Any]:
    """Which training makes networks provable: a proof after some steps more."""
    jobs = [(seed, name) for name in TRAININGS for seed in range(seeds)]
    verdicts = on_every_core(_after_training, jobs)
    rows = {}
    for i, name in enumerate(TRAININGS):
        some = verdicts[i * seeds : (i + 1) * seeds]
        rows[name] = dict(Counter(status for status, _ in some))
        rows[name]["sets"] = _spread([sets for status, sets in some if status == "proved"])
    return {"seeds": seeds, "limit": FEW_SETS, "rows": rows}


def _after_training(job: tuple[int, str]) -> tuple[str, int]:
    seed, name = job
    params, rng = trained(Recipe(seed))
    verdict = prove_real(TRAININGS[name](params, rng, seed), limit=FEW_SETS)
    return verdict.status, sets_of(verdict)


def until(on_every_core: OnEveryCore, seeds: int, many: int) -> dict[str, Any]:
    """--until-proved without state bits: after how many steps, with how many sets, how long."""
    rows = []
    kinds: tuple[tuple[Dtype, int], ...] = (("float64", many), ("float32", seeds))
    for dtype, some in kinds:
        found = on_every_core(_until, [Recipe(seed, dtype=dtype) for seed in range(some)])
        proved = [one for one in found if one["status"] == "proved"]
        rounds = Counter(one["steps"] for one in proved)
        rows.append(
            {
                "dtype": dtype,
                "seeds": some,
                "proved": len(proved),
                "after": dict(sorted(rounds.items())),
                "not proved": [i for i, one in enumerate(found) if one["status"] != "proved"],
                "sets": _spread([one["sets"] for one in proved]),
                "seconds": _spread([one["seconds"] for one in proved]),
                "mebibytes": max(one["mebibytes"] for one in found),
            }
        )
        print(rows[-1], flush=True)
    return {"limit": FEW_SETS, "rows": rows}


def _until(recipe: Recipe, most: int = 12_000) -> dict[str, Any]:
    params, _ = trained(recipe)
    begin = time.process_time()
    *_, outcome = until_proved(params, recipe.seed, most_steps=most)
    return {
        "status": outcome.verdict.status,
        "steps": outcome.steps,
        "sets": sets_of(outcome.verdict),
        "margin": getattr(outcome.verdict, "margin", 0.0),
        "seconds": time.process_time() - begin,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def other_targets(on_every_core: OnEveryCore, seeds: int) -> dict[str, Any]:
    """Networks that learn something else from the start, by the same training and proof."""
    names = ("subtraction", "comparison", "multiplication:3", "multiplication:5")
    found = on_every_core(_learn, [(name, seed) for name in names for seed in range(seeds)])
    rows = {}
    for i, name in enumerate(names):
        proved = [one for one in found[i * seeds : (i + 1) * seeds] if one["status"] == "proved"]
        rows[name] = {"proved": len(proved)} | {
            what: _spread([one[what] for one in proved]) for what in ("steps", "sets")
        }
    return {"seeds": seeds, "rows": rows}


def _learn(job: tuple[str, int], most: int = 20_000) -> dict[str, Any]:
    name, seed = job
    target = by_name(name)
    params = initial_params(np.random.RandomState(seed), target.operands, 16, 1, "float64")
    training = Contraction(params, target, seed)
    wrong: list[Int64[np.ndarray, " inputs"]] = []
    while True:
        training.train(1_000, wrong)
        verdict = prove_real(training.params, target, limit=FEW_SETS)
        if verdict.status == "proved" or training.steps >= most:
            return {"status": verdict.status, "steps": training.steps, "sets": sets_of(verdict)}
        if isinstance(verdict, Refuted):
            wrong.append(verdict.inputs)


def hidden_sizes(on_every_core: OnEveryCore, seeds: int) -> dict[str, Any]:
    """--until-proved for other numbers of hidden units."""
    sizes = (2, 3, 4, 5, 6, 8, 12, 24, 32)
    found = on_every_core(_until, [Recipe(s, hidden=size) for size in sizes for s in range(seeds)])
    rows = {}
    for i, size in enumerate(sizes):
        some = found[i * seeds : (i + 1) * seeds]
        proved = [seed for seed, one in enumerate(some) if one["status"] == "proved"]
        rows[size] = {
            "proved": len(proved),
            "first": proved[0] if proved else None,
            "sets": _spread([some[seed]["sets"] for seed in proved]),
        }
    return {"seeds": seeds, "rows": rows}


def long_runs(on_every_core: OnEveryCore, steps: int) -> dict[str, Any]:
    """Proved networks on adversarial inputs, in both packages and dtypes: wrong bits, if any."""
    jobs = [(seed, -(-steps // (NETWORKS * 4 * LENGTH))) for seed in range(NETWORKS)]
    found = on_every_core(_long_runs, jobs)
    return {
        "steps": sum(done for done, _ in found),
        "wrong": sum(wrong for _, wrong in found),
        "networks": NETWORKS,
        "length": LENGTH,
    }


def adversarial_inputs(
    rng: np.random.Generator, target: Target, steps: int, count: int
) -> Int64[np.ndarray, "steps count"]:
    """Long runs of a carry, alternations, and inputs that change after long the same."""
    keeps = rng.choice([0, 0.5, 0.9, 0.99, 0.999], size=count)
    inputs = rng.integers(2**target.operands, size=(steps, count))
    kept = rng.random((steps, count)) < keeps
    for t in range(1, steps):
        inputs[t] = np.where(kept[t], inputs[t - 1], inputs[t])
    # Half of them with an input twice as far back, so that short words are repeated.
    for t in range(2, steps):
        half = np.arange(count // 2)
        inputs[t, half] = np.where(kept[t, half], inputs[t - 2, half], inputs[t, half])
    return inputs


def _long_runs(job: tuple[int, int]) -> tuple[int, int]:
    import torch

    from rnn_torch import ElmanRNN

    seed, count = job
    rng = np.random.default_rng(seed)
    params, _ = trained(Recipe(seed))
    *_, outcome = until_proved(params, seed, most_steps=6_000)
    # Proved for float32, so for both.
    if prove_real(outcome.params, dtype="float32", limit=FEW_SETS).status != "proved":
        return 0, 0
    order = rng.permutation(len(params.W))  # another order of summation
    U, W, V = outcome.params
    params = Params(U[:, order], W[order][:, order], V[order])
    inputs = adversarial_inputs(rng, addition, LENGTH, count)
    right = np.stack([addition.run(column) for column in inputs.T], axis=1)
    done, wrong = 0, 0
    for dtype in (np.float64, np.float32):
        weights = Params(*(array.astype(dtype) for array in params))
        x = addition.bits(inputs).astype(dtype)
        by_numpy, _ = forward(weights, x)
        with torch.inference_mode():
            by_torch, _ = ElmanRNN.from_params(weights)(torch.from_numpy(x))
        for outputs in (by_numpy, by_torch.numpy()):
            wrong += int(((outputs[..., 0] > 0.5) != (right == 1)).sum())
            done += right.size
    return done, wrong


if __name__ == "__main__":
    main()
