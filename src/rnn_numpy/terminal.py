"""What commands share at the terminal: lines, the progress bar, and Ctrl-C."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from tqdm import tqdm


def speaks() -> bool:
    """Whether this process may print: alone, or the first of those that torchrun started."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0"


#: What a log of GitHub's takes for a command: `::error::` where a line begins, and it may be
#: wrapped at any word; `##[error]` (others: `##vso[`) wherever it stands.
_COMMAND = re.compile(r"(?<!\S):(?=:)|#(?=#\w*\[)")


def shown(text: str) -> str:
    """Text of strangers, as it may be shown: one line that nothing obeys, nor takes for ours.

    Escaped as Python writes it in a string: what is not printable (control characters, ends of
    lines, marks that turn the direction of reading, halves of characters), and the first character
    of what is a command in a CI's log. Escaping twice changes nothing more.
    """
    printable = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return _COMMAND.sub(lambda found: f"\\x{ord(found[0]):02x}", "".join(printable))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(shown(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        if speaks():
            super()._print_message(message, file)


def parser(program: str, description: str, exit_codes: str) -> argparse.ArgumentParser:
    """The parser of `python -m PROGRAM`, whose help is printed as it is and ends with its codes."""
    return _Parser(
        prog=f"python -m {program}",
        description=description,
        epilog=exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def say(line: str) -> None:
    """Print a line, above the progress bar if there is one."""
    if not speaks():
        return
    try:
        tqdm.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`); the work that goes on may still be wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(line: str) -> None:
    """Print a line on standard error, as `shown`."""
    if speaks():
        print(shown(line), file=sys.stderr)


def progress(total: int | None, unit: str, done: int = 0) -> Any:
    """A progress bar on standard error with the time left, if that is a terminal."""
    quiet = None if speaks() else True
    return tqdm(
        total=total, unit=unit, initial=done, leave=False, disable=quiet, dynamic_ncols=True
    )


class Stop:
    """Whether the process has been asked to stop, by Ctrl-C or SIGTERM, and by which."""

    signal = 0

    def __call__(self) -> bool:
        """True once there was a signal."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """As a shell gives it for a process that a signal ended."""
        return 128 + self.signal


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Inside, the first Ctrl-C or SIGTERM is only remembered; a second is as usual."""
    stop = Stop()

    def remember(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    before: dict[int, Any] = {}
    for each in (signal.SIGINT, signal.SIGTERM):
        before[each] = signal.signal(each, remember)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
