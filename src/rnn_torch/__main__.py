"""python -m rnn_torch: the commands of both packages."""

from rnn_numpy import __main__ as without_torch

COMMANDS = {
    "rnn_torch.check": "check a hand-written backward pass: where in time, which mistake",
    "rnn_torch.train": "train the network, hand-written gradients and autograd's compared",
    "rnn_torch.sweep": "train many networks at once",
    "rnn_torch.add": "add integers of any length by a trained network",
    **without_torch.COMMANDS,
}


def main() -> None:
    """Print the commands; each has --help."""
    without_torch.show(COMMANDS)


if __name__ == "__main__":
    main()
