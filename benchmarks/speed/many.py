"""1,000 seeds trained to the end of the recipe on every core, with and without counting."""

import argparse
import time

from benchmarks.harness import keep
from rnn_numpy.training.many import cores, train, train_many
from rnn_numpy.training.recipe import Recipe


def main() -> None:
    """Run the benchmark; print its times and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="networks (%(default)s)")
    flags = parser.parse_args()
    recipes = [Recipe(seed) for seed in range(flags.seeds)]
    # The gate: the compiled engine counts what the plain loop counts.
    short = Recipe(iterations=2000)
    if train(short, 1000, "compiled") != train(short, 1000, "numpy"):
        raise SystemExit("the engines do not agree")
    seconds = {}
    for name, count_every in (("counted once", 20_000), ("counted every 1,000 steps", 1000)):
        begin = time.perf_counter()
        results = list(train_many(recipes, count_every))
        seconds[name] = time.perf_counter() - begin
        print(f"{name:28}{seconds[name]:7.1f} s")
    exact = sum(result.exact[-1] == result.tried for result in results)
    print(f"{exact} of {len(results)} exact after 20,000 steps")
    keep("many", {"networks": len(recipes), "cores": cores(), "seconds": seconds, "exact": exact})


if __name__ == "__main__":
    main()
