"""How long the recipe takes: the hand-written BPTT and autograd against a naive script.

Each contender first passes a parity gate on this very run: the same weights. Then all are timed in
turn, round by round, on one thread; medians and ratios of medians are printed.
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy and torch read it

import numpy as np
import torch

from rnn_numpy import Params
from rnn_numpy.recipe import Learner, Recipe, run, start
from rnn_numpy.train import NumPyLearner
from rnn_torch.train import AutogradLearner

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import naive_recipe


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=2000, help="SGD steps (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each (%(default)s)")
    flags = parser.parse_args()
    recipe = Recipe(iterations=flags.iterations)

    def naive() -> Params:
        return Params(*naive_recipe.train(recipe.seed, recipe.iterations))

    def by(make: Callable[[Params, float], Learner]) -> Callable[[], Params]:
        def trained() -> Params:
            params, rng = start(recipe)
            learner = make(params, recipe.learning_rate)
            run(recipe, learner, rng)
            return learner.params()

        return trained

    contenders = {
        "naive per-step NumPy": naive,
        "rnn_numpy": by(NumPyLearner),
        "rnn_torch (autograd)": by(AutogradLearner),
    }
    expected = naive()
    for name, contender in contenders.items():
        worst = max(np.abs(a - b).max() for a, b in zip(contender(), expected, strict=True))
        if not worst < 1e-10:
            raise SystemExit(f"{name} fails the parity gate: weights differ by {worst:.1e}")

    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(flags.rounds):
        for name, contender in contenders.items():
            begin = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - begin)

    print(
        f"{recipe.iterations} steps, {flags.rounds} rounds, 1 thread; {platform.machine()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, torch {torch.__version__}"
    )
    base = statistics.median(seconds["naive per-step NumPy"])
    print(f"{'':22}{'median':>9}{'min':>8}{'max':>8}  {'naive / this':>12}")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(
            f"{name:22}{median:8.2f}s{min(times):7.2f}s{max(times):7.2f}s  {base / median:11.2f}x"
        )


if __name__ == "__main__":
    main()
