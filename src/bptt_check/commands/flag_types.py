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
        most = math.inf if self.most is None else self.most
        with suppress(ValueError):
            if self.least <= int(text) <= most:
                return int(text)
        ends = f"of at least {self.least}" if most == math.inf else f"from {self.least} to {most}"
        raise ArgumentTypeError(f"must be an integer {ends}, got {text or 'nothing'}")


POSITIVE, NOT_NEGATIVE = Integer(1), Integer(0)


def positive(text: str) -> float:
    """A number above 0 and below infinity; raises ArgumentTypeError for another text."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise ArgumentTypeError(f"must be a number above 0 and below infinity, got {text or 'nothing'}")
