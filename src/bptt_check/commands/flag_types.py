"""Numbers as argparse types; an error states what is wanted and what is given.

`terminal.parser` puts the flag first: `--hidden must be an integer from 1 to 16384, got 0`.
"""

import math
from argparse import ArgumentTypeError
from contextlib import suppress
from dataclasses import dataclass


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


def positive(text: str) -> float:
    """A number above 0 and below infinity; raises ArgumentTypeError for another text."""
    with suppress(ValueError):
        value = float(text)
        if 0 < value < math.inf:
            return value
    raise ArgumentTypeError(f"must be a number above 0 and below infinity, got {text or 'nothing'}")
