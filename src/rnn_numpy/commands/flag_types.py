"""The numbers of a recipe as argparse types."""

from argparse import ArgumentTypeError
from contextlib import suppress

from bptt_check.commands.flag_types import Integer
from rnn_numpy.training.recipe import RANGES

SEED, BITS, HIDDEN, ITERATIONS, BATCH_SIZE = (
    Integer(*RANGES[name]) for name in ("seed", "bits", "hidden", "iterations", "batch_size")
)


def seeds(text: str) -> range:
    """A seed, or a range of seeds in the form of a Python slice: 0:1000 is 0 to 999.

    Raises:
        ArgumentTypeError: the text has another form, or the range is empty.
    """
    first, colon, end = text.partition(":")
    with suppress(ValueError, ArgumentTypeError):
        begin = SEED(first or "0") if colon else SEED(first)
        found = range(begin, SEED(str(int(end) - 1)) + 1 if colon else begin + 1)
        if found:
            return found
    raise ArgumentTypeError(
        f"must be a seed from {SEED.least} to {SEED.most}, or a range of them such as 0:1000, "
        f"got {text or 'nothing'}"
    )
