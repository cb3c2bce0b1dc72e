"""Train many independent networks: one a thread, on every core; each result is a line of a file.

The kernels of `sgd.py` release the GIL, so the threads run at the same time.
"""

import errno
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from bptt_check.commands.atomic_files import check_writable, locked, write_bytes
from rnn_numpy.tasks.exact_sums import count
from rnn_numpy.training.recipe import Recipe, Status, Training, vanished
from rnn_numpy.training.sgd import choose

FORMAT = "rnn-bptt-reference sweep 2"
_BEGINNING = f'{{"format": "{FORMAT}", "recipe": {{'.encode()
#: A line takes less than a kilobyte for each thousand counted steps.
MOST_BYTES = 1 << 31


@dataclass(frozen=True)
class Trained:
    """The result of training one network: the number of exact sums after each of these steps.

    `vanished`: it finished, does not add, and cannot learn any more.
    """

    recipe: Recipe
    status: Status
    steps: list[int]
    exact: list[int]
    tried: int


def train(recipe: Recipe, count_every: int = 1000, engine: str | None = None) -> Trained:
    """Train one network; count its exact sums every so many steps, and after the last one."""
    training = Training(recipe, choose(engine, recipe.hidden))
    steps: list[int] = []
    exact: list[int] = []
    tried = 0
    for _ in training.run(pause_every=count_every) if recipe.iterations else [None]:
        if training.steps % count_every == 0 or training.steps == recipe.iterations:
            number, tried, _ = count(training.learner.params(), recipe.bits)
            steps.append(training.steps)
            exact.append(number)
    if training.status == "finished" and exact[-1] < tried and vanished(recipe, training.learner):
        training.status = "vanished"
    return Trained(recipe, training.status, steps, exact, tried)


def cores() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def train_many(
    recipes: Iterable[Recipe],
    count_every: int = 1000,
    engine: str | None = None,
    *,
    threads: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Trained]:
    """Train a network for each recipe; yields each result when its training ends, in any order.

    So many `threads`, one for each core by default, train a network each. `stop` is called before
    each network; True starts no more, and waits for those in training.
    """
    workers = threads or cores()
    waiting = iter(recipes)
    with ThreadPoolExecutor(workers) as pool:
        running: set[Future[Trained]] = set()
        while True:
            if not stop():
                for recipe in islice(waiting, 2 * workers - len(running)):
                    running.add(pool.submit(train, recipe, count_every, engine))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


class ResultsError(ValueError):
    """A file of results that cannot be used; the message names it and the reason."""


class Results:
    """The results of a sweep: in memory, and a line of JSON each, on the disk when it is added.

    The file is locked until the end of the process. `settings` are the recipes with seed 0.

    Raises:
        ResultsError: the file exists and `resume` is False, is in use, or is not this sweep's.
        WeightsError: the file cannot be written.
    """

    def __init__(
        self, path: Path | None, settings: Collection[Recipe], count_every: int, *, resume: bool
    ) -> None:
        self.path = path
        self.trained: dict[Recipe, Trained] = {}
        self._order = {setting: place for place, setting in enumerate(settings)}
        self._count_every = count_every
        if path is None:
            return
        check_writable(path)
        if path.exists() and not resume:
            raise ResultsError(f"{path} exists: pass --resume to continue it")
        try:
            self._file = locked(path, self)
            if path.stat().st_size > MOST_BYTES:
                raise ResultsError(f"{path} is too large for results")
            os.truncate(self._file, self._read(path.read_bytes()))
        except BlockingIOError:
            raise ResultsError(f"{path} is in use by another sweep") from None
        except OSError as error:
            raise ResultsError(f"cannot use {path}: {error.strerror}") from error

    def _read(self, octets: bytes) -> int:
        """Keep the results; returns the length of the lines, the last of which may be cut off."""
        *lines, unfinished = octets.split(b"\n")
        number = 0
        try:
            for number, line in enumerate(lines, 1):  # noqa: B007 (the message has it)
                trained = read_line(line)
                self._check(trained)
                self.trained[trained.recipe] = trained
            number, begun = len(lines) + 1, unfinished.rstrip(b"\0")  # as power failures leave it
            if begun[: len(_BEGINNING)] != _BEGINNING[: len(begun)]:
                raise ValueError("it has another format or version")
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ResultsError(
                f"{self.path}, line {number}: not a result of this sweep: {error}"
            ) from error
        return len(octets) - len(unfinished)

    def _check(self, trained: Trained) -> None:
        """Raise ValueError unless this is a result of this sweep."""
        setting = replace(trained.recipe, seed=0)
        if setting not in self._order:
            differences = (
                f"{name} {value}"
                for name, value in asdict(setting).items()
                if all(getattr(other, name) != value for other in self._order)
            )
            raise ValueError(f"it has {', '.join(differences)}")
        last, counted = setting.iterations, len(trained.steps)
        every = range(self._count_every, last, self._count_every)
        if trained.steps != [*every[:counted], last][:counted]:
            raise ValueError("its sums were counted after other steps")

    def add(self, trained: Trained) -> None:
        """Add a result, to the file first: ResultsError if that fails; the file is unchanged."""
        if self.path is not None:
            line = as_line(asdict(trained))
            before = os.fstat(self._file).st_size
            try:
                os.stat(self.path)  # or what is written is lost with its name
                if os.write(self._file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._file)
            except OSError as error:
                os.truncate(self._file, before)
                raise ResultsError(f"cannot write {self.path}: {error.strerror}") from error
        self.trained[trained.recipe] = trained

    def in_order(self) -> list[Trained]:
        """The results, in the order of the settings and seeds."""
        order = self._order
        return sorted(
            self.trained.values(),
            key=lambda each: (order[replace(each.recipe, seed=0)], each.recipe.seed),
        )

    def complete(self) -> None:
        """Put the lines in order, so that a complete file has the same bytes every time."""
        if self.path is not None:
            write_bytes(self.path, b"".join(as_line(asdict(each)) for each in self.in_order()))


def as_line(fields: dict[str, object]) -> bytes:
    """The line of a file of results with these fields of a result, and their checksum."""
    whole = {"format": FORMAT, **fields}
    return json.dumps({**whole, "crc32": zlib.crc32(json.dumps(whole).encode())}).encode() + b"\n"


def read_line(line: bytes) -> Trained:
    """A result from its line, which is not trusted: any of the errors of `_read` if it is none."""
    fields = json.loads(line)
    if fields.get("format") != FORMAT:
        raise ValueError("it has another format or version")
    if fields.pop("crc32") != zlib.crc32(json.dumps(fields).encode()):
        raise ValueError("its checksum is wrong")
    del fields["format"]
    result = Trained(Recipe(**fields.pop("recipe")), **fields)
    for some in (result.steps, result.exact, [result.tried]):
        if not isinstance(some, list) or any(type(n) is not int for n in some):
            raise TypeError("steps and exact must be lists of integers, tried an integer")
    if len(result.steps) != len(result.exact):
        raise ValueError("steps and exact do not fit each other")
    if result.status not in ("finished", "diverged", "vanished"):
        raise ValueError(f"no such status: {result.status!r}")
    return result
