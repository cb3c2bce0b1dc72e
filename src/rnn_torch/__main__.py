"""python -m rnn_torch: the commands of both packages."""

COMMANDS = {
    "rnn_torch.check": "check a hand-written backward pass: where in time, which mistake",
    "rnn_torch.train": "train the network, hand-written gradients and autograd's compared",
    "rnn_torch.sweep": "train many networks at once",
    "rnn_torch.add": "add integers of any length by a trained network",
    "rnn_numpy.train": "train the network without torch",
    "rnn_numpy.prove": "prove or refute that a trained network adds, for operands of every length",
    "rnn_numpy.verify": "check a certificate of prove",
}


def main() -> None:
    """Print the commands; each has --help."""
    for name, what in COMMANDS.items():
        print(f"python -m {name:18}{what}")


if __name__ == "__main__":
    main()
