"""Numbers as argparse types; an error states what is wanted and what is given.

`terminal.parser` puts the flag first: `--hidden must be an integer from 1 to 16384, got 0`.
"""

import math
from argparse import ArgumentTypeError
from contextlib import suppress
from dataclasses import dataclass

from rnn_numpy.elman_network.checks import MOST_STATE_BITS
from rnn_numpy.training.recipe import RANGES


@dataclass(frozen=True)
class Integer:
    """An integer of at least `least` and, if given, at most `most`."""

    least: int
    most: int | None = None

    def __call__(self, text: str) -> int:
        """The integer; raises ArgumentTypeError if the text is not one, or it is out of range."""
        with suppress(ValueError):
            value = int(text)
            if self.least <= value and (self.most is None or value <= self.most):
                return value
        ends = (
            f"of at least {self.least}"
            if self.most is None
            else f"from {self.least} to {self.most}"
        )
        raise ArgumentTypeError(f"must be an integer {ends}, got {text or 'nothing'}")


POSITIVE, NOT_NEGATIVE = Integer(1), Integer(0)
STATE_BITS = Integer(1, MOST_STATE_BITS)
SEED, BITS, HIDDEN, ITERATIONS, BATCH_SIZE = (
    Integer(*RANGES[name]) for name in ("seed", "bits", "hidden", "iterations", "batch_size")
)


def positive(text: str) -> float:
    """A number above 0 and below infinity; raises ArgumentTypeError for another text."""
    with suppress(ValueError):
        value = float(text)
        if 0 < value < math.inf:
            return value
    raise ArgumentTypeError(f"must be a number above 0 and below infinity, got {text or 'nothing'}")


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
