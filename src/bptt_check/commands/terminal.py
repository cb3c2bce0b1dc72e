"""Terminal input and output of all commands: streams that cannot fail, progress bar, Ctrl-C."""

import argparse
import io
import os
import re
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from types import FrameType
from typing import Any, NoReturn

from tqdm import tqdm

from bptt_check.candidate.escaping import shown
from bptt_check.candidate.nearest import nearest
from bptt_check.commands.atomic_files import WeightsError, check_writable, made_by

WIDEST = 100  # columns of prose


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; if a type of `flag_types` refuses a value, its message follows the flag's name."""
        try:
            found, unknown = self.parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            ours = isinstance(error.__context__, argparse.ArgumentTypeError)
            self.error(f"{error.argument_name} {error.message}" if ours else str(error))
        if unknown:
            hint = nearest(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found

    def _print_message(self, message: str, file: Any = None) -> None:
        _write(message, file or sys.stderr)

    def error(self, message: str) -> NoReturn:
        """End with code 2 and one paragraph, without a page of usage."""
        self.exit(2, f"{_fitted(f'{self.prog}: error: {shown(message)}')}\n")


def parser(
    program: str, description: str, exit_codes: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """The parser of `python -m PROGRAM`, with the flags --help and --version.

    Its help, printed verbatim, ends with `exit_codes` and the arguments of `examples`.
    """
    command = f"python -m {program}"
    shown_examples = "\n".join(f"  {command} {example}" for example in examples)
    result = _Parser(
        prog=command,
        description=description,
        epilog=f"{exit_codes}\n\nexamples:\n{shown_examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,  # `parse_args` exits
    )
    result.add_argument("--version", action="version", version=made_by())
    return result


#: Exit codes of a stopped command.
SIGNALLED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def command(main: Callable[..., int]) -> Callable[..., int]:
    """Make a command finish its work and exit with the right code if its output streams fail.

    The exit code is 2, with the reason on standard error, if standard output cannot be written (a
    full disk, a closed descriptor), or if an exception escapes, with a traceback; 1 is reserved for
    a verdict. A reader that stops reading (`| head`) does not change the exit code. If standard
    error cannot be written, its messages are dropped.
    """

    @wraps(main)
    def run(argv: Sequence[str] | None = None, **options: Any) -> int:
        with _streams():
            try:
                return _settled(main(argv, **options))
            except SystemExit as ended:
                ended.code = _settled(ended.code)
                raise
            except KeyboardInterrupt:
                return _settled(128 + signal.SIGINT)
            except Exception:
                _write(traceback.format_exc(), sys.stderr)
                return _settled(2)

    return run


#: Why standard output could not be written, first of all.
_failures: list[OSError] = []


def _settled(code: Any) -> Any:
    """The exit code, after flushing the streams."""
    for stream in (sys.stdout, sys.stderr):
        _write("", stream)
    failure = _failures[0] if _failures else None
    if failure is not None and not isinstance(failure, BrokenPipeError):
        complain(f"error: cannot write to standard output: {failure.strerror}")
        return code if code in SIGNALLED else 2
    return code


def _write(text: str, stream: Any) -> None:
    """Write, above the progress bar; what a stream does not take is dropped, and all after it."""
    try:
        tqdm.write(text, file=stream, end="")
        stream.flush()
    except OSError as error:
        if stream is sys.stdout:
            _failures.append(error)
        with suppress(OSError), open(os.devnull, "w") as null:
            # Otherwise the interpreter would fail on the buffered text when it ends.
            os.dup2(null.fileno(), stream.fileno())


@contextmanager
def _streams() -> Iterator[None]:
    """In this context the standard streams exist, and no character is unknown to them."""
    before = sys.stdin, sys.stdout, sys.stderr
    # Replace a closed stream by one opened in the other mode: the system refuses to use it, and no
    # file that is opened later gets its descriptor.
    opened = [
        open(os.open(os.devnull, flag), mode) if stream is None else stream  # noqa: SIM115
        for stream, flag, mode in zip(
            before, (os.O_WRONLY, os.O_RDONLY, os.O_RDONLY), "rww", strict=True
        )
    ]
    sys.stdin, sys.stdout, sys.stderr = opened
    for stream in opened[1:]:
        if isinstance(stream, io.TextIOWrapper):
            # A character that the encoding lacks is not a failure.
            stream.reconfigure(errors="backslashreplace")
    _failures.clear()
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        for stream in set(opened).difference(before):
            stream.close()


#: The verdict that a line begins with, perhaps after a step, and its colour.
_VERDICT = re.compile(r"( *\d* *)(RIGHT|WRONG|APPROXIMATE|IMPURE|proved|refuted|gave up)(?=\b)")
_GREEN, _RED, _YELLOW = 32, 31, 33
_COLOURS = {"RIGHT": _GREEN, "proved": _GREEN, "WRONG": _RED, "refuted": _RED}


def say(line: str) -> None:
    """Print a line, above the progress bar if there is one; on a terminal its verdict in colour."""
    plain = not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"
    found = None if plain or os.environ.get("NO_COLOR") else _VERDICT.match(line)
    if found:
        colour = _COLOURS.get(found[2], _YELLOW)
        line = f"{found[1]}\x1b[{colour}m{found[2]}\x1b[0m{line[found.end() :]}"
    _write(f"{line}\n", sys.stdout)


def complain(line: str) -> None:
    """Print a line, escaped by `shown`, on standard error, above any progress bar."""
    _write(f"{_fitted(shown(line))}\n", sys.stderr)


def width(stream: Any) -> int | None:
    """The columns of the terminal that a stream writes to, 100 at most; None if it is none."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except (OSError, ValueError):
        return None
    return max(40, min(columns, WIDEST)) if columns else None


def wrapped(line: str, columns: int) -> str:
    """A line, broken between words, with its indent and two more columns from the second on."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    # Do not split words: `shown` escapes CI commands that begin a word, not those inside one.
    return textwrap.fill(
        line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _fitted(line: str) -> str:
    """A message for standard error: one line, unless a terminal would break it within words."""
    columns = width(sys.stderr)
    return wrapped(line, columns) if columns else line


@contextmanager
def bad_input(
    parser: argparse.ArgumentParser, no_memory: str = "not enough memory"
) -> Iterator[None]:
    """In this context a ValueError or MemoryError ends the command with its message and code 2."""
    try:
        yield
    except (ValueError, MemoryError) as error:
        parser.error(str(error) or no_memory)


def check_outputs(flags: argparse.Namespace, *names: str) -> None:
    """Check that the files named by these flags can be written, that of `plot` as a figure.

    Raises:
        WeightsError: a file cannot be written; the message begins with the flag.
    """
    for name in names:
        file = getattr(flags, name)
        if file is not None:
            try:
                check_writable(file)
                if name == "plot":
                    from bptt_check.commands.pictures import check_format

                    check_format(file)
            except ValueError as error:
                raise WeightsError(f"--{name}: {error}") from error


class _Bar(tqdm):  # type: ignore[misc]
    """A progress bar without tqdm's monitor: a thread alive at the end may abort the process."""

    monitor_interval = 0


def progress(
    total: int | None, unit: str, done: int = 0, what: str | None = None, delay: float = 0
) -> Any:
    """A progress bar with the remaining time on standard error, if that is a terminal.

    Args:
        total, done: the number of units to do, if known, and of those done before.
        what: words in front of the bar.
        delay: seconds before the bar appears.
    """
    # None: only on a terminal. Of several processes under torchrun the first has a bar.
    quiet = None if os.environ.get("RANK", "0") == "0" else True
    return _Bar(
        desc=what, total=total, unit=unit, initial=done, delay=delay, leave=False,
        disable=quiet, dynamic_ncols=True, miniters=1,
    )  # fmt: skip


class Stop:
    """Whether Ctrl-C or SIGTERM has asked the process to stop, and which of the two."""

    signal = 0

    def __call__(self) -> bool:
        """True after a signal."""
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """The code that a shell reports for a process ended by the signal."""
        return 128 + self.signal


@contextmanager
def interruptible() -> Iterator[Stop]:
    """In this context the first Ctrl-C or SIGTERM is recorded; a second has its usual effect."""
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
