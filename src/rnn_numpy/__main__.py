"""python -m rnn_numpy: the commands that need no torch."""

from collections.abc import Mapping

COMMANDS = {
    "rnn_numpy.train": "train the network without torch",
    "rnn_numpy.prove": "prove or refute that a trained network adds, for operands of every length",
    "rnn_numpy.verify": "check a certificate of prove",
}


def show(commands: Mapping[str, str]) -> None:
    """Print commands; each has --help."""
    for name, what in commands.items():
        print(f"python -m {name:18}{what}")


if __name__ == "__main__":
    show(COMMANDS)
