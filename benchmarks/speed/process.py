"""Whole processes, from the command to its end: what a user waits for."""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.harness import interleaved, keep, spread

TESTS = Path(__file__).parents[2] / "tests" / "helpers"
NAIVE = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import naive_recipe
naive_recipe.train(0, 20000)
"""
COMMANDS = {
    "the naive script": ["-c", NAIVE],
    "python -m rnn_numpy.train": ["-m", "rnn_numpy.train"],
    "python -m rnn_numpy.train --engine numpy": ["-m", "rnn_numpy.train", "--engine", "numpy"],
    'python -c "import torch"': ["-c", "import torch"],
    "python -m rnn_torch.train": ["-m", "rnn_torch.train"],
}


def main() -> None:
    """Run the benchmark; print its table and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="timed runs of each (%(default)s)")
    flags = parser.parse_args()

    def command(arguments: list[str]) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout

    for name, arguments in COMMANDS.items():  # the gate: what is trained adds
        if "train" in name and "16384 of 16384 sums exact" not in command(arguments):
            raise SystemExit(f"{name} does not learn to add")
    contenders = {name: partial(command, arguments) for name, arguments in COMMANDS.items()}
    times = interleaved(contenders, seconds=0, least=flags.rounds)
    rows = {name: spread(some) for name, some in times.items()}
    for name, row in rows.items():
        print(f"{name:44}{row['median']:7.3f} s")

    def ratio(one: str, other: str) -> float:
        return rows[one]["median"] / rows[other]["median"]

    ratios = {
        "naive script / rnn_numpy.train": ratio("the naive script", "python -m rnn_numpy.train"),
        "rnn_torch.train / import torch": ratio(
            "python -m rnn_torch.train", 'python -c "import torch"'
        ),
    }
    for name, value in ratios.items():
        print(f"{name}: {value:.2f}")
    keep("process", {"rows": rows, "ratios": ratios})


if __name__ == "__main__":
    main()
