"""Check several backward passes: a class's submissions, two at a time, a row each.

Two processes take them in turn, so that each computes the right gradients once. A submission that
never answers, ends its process or cannot be read is a row like any other.
"""

import glob
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bptt_check.commands.terminal import progress
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Answer, Ask, CannotCheck
from bptt_check.judge.candidate import Candidate
from bptt_check.judge.examine import examine
from bptt_check.judge.report import Report
from bptt_check.subjects import subject_for

AT_ONCE = 2


class Outcome(NamedTuple):
    """The report of a target, or why it cannot be checked."""

    target: str
    report: Report | None
    why: str = ""

    @property
    def exit_code(self) -> int:
        """0 right, 1 wrong, 2 cannot tell."""
        return 2 if self.report is None else self.report.exit_code


def subject_of(flags: Namespace) -> AnyNetwork:
    """The network with its problems, as the flags say."""
    return subject_for(
        flags.network, shapes=flags.shapes, window=flags.window, loss=flags.loss,
        rate=flags.from_update,
    )  # fmt: skip


def examined(flags: Namespace, target: str, *, bar: bool = True) -> Report:
    """Check one target, with a progress bar if it is slow; raises CannotCheck."""
    subject, how = flags.subject, {"dtype": flags.dtype, "seed": flags.seed, "name": target}
    candidate = Candidate(target, subject, flags.timeout, flags.env, flags.definitions_only)
    with candidate, counted(candidate) if bar else nullcontext(candidate) as ask:
        report = examine(ask, subject, mender=candidate, **how)
    return replace(report, training=candidate.notes)


@contextmanager
def counted(ask: Ask) -> Iterator[Ask]:
    """With a progress bar for a slow pass: it appears after three seconds, and not in a log."""
    with progress(None, " problems", what="asking", delay=3) as bar:

        def counted(problem: Any, *before: Any) -> Answer:
            bar.update()
            return ask(problem, *before)

        yield counted


def is_pattern(target: str) -> bool:
    """Whether the file of a target is a pattern such as `submissions/*.py`."""
    file = target.rpartition(":")[0] or target
    return ("*" in file or "?" in file) and not Path(file).exists()


def named(targets: Sequence[str]) -> list[str]:
    """The targets, with the files that match in place of a pattern.

    Raises:
        ValueError: one of several, or a pattern, has no function; no file matches a pattern.
    """
    found: dict[str, None] = {}
    for target in targets:
        file, _, function = target.rpartition(":")
        if not file and (len(targets) > 1 or is_pattern(target)):
            raise ValueError(f"add the function to check, as in '{target}:backward'")
        if not is_pattern(target):
            found[target] = None
            continue
        files = sorted(glob.glob(file, recursive=True))
        if not files:
            raise ValueError(f"no file matches {file}")
        found |= {f"{each}:{function}": None for each in files}
    return list(found)


def pages_of(targets: Sequence[str]) -> list[str]:
    """The names of pages: of the files, with the functions if these differ."""
    folder = os.path.commonpath([os.path.dirname(each) for each in targets] or [""])
    paths = [os.path.relpath(each, folder or ".") for each in targets]
    short = [os.path.splitext(path.rpartition(":")[0])[0] for path in paths]
    names = short if len(set(short)) == len(short) else [p.replace(":", "-") for p in paths]
    return [f"{name.replace(os.sep, '-')}.html" for name in names]


def outcomes(targets: Sequence[str], flags: Namespace) -> Iterator[Outcome]:
    """The outcome of each target, as it is ready.

    Args:
        flags: those of the command; `program` is its module.
    """
    left, idle = list(reversed(targets)), list[_Worker]()
    busy: dict[Connection, tuple[_Worker, str]] = {}
    try:
        while left or busy:
            while left and len(busy) < AT_ONCE:
                worker = idle.pop() if idle else _Worker(flags)
                busy[worker.pipe] = worker, left[-1]
                with suppress(OSError):  # it has ended: `recv` says so
                    worker.pipe.send(left[-1])
                left.pop()
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, target = busy.pop(pipe)
                try:
                    yield pipe.recv()
                    idle.append(worker)
                except (EOFError, OSError):
                    yield Outcome(target, None, "the process that checks it has ended")
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.end()


class _Worker:
    """A process that checks one target after another."""

    def __init__(self, flags: Namespace) -> None:
        context = get_context("spawn")  # a fork cannot differentiate where there is an accelerator
        self.pipe, its = context.Pipe()
        self.process = context.Process(target=_work, args=(its, flags), daemon=True)
        self.process.start()
        its.close()

    def end(self) -> None:
        """At once if it is idle; else it has a moment to end what it has started."""
        self.pipe.close()
        self.process.join(2)
        self.process.terminate()
        self.process.join()


def _work(pipe: Connection, flags: Namespace) -> None:
    import_module(flags.program)  # which passes vote
    torch.set_num_threads(1)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            pipe.send(_judged(flags, pipe.recv()))


def _judged(flags: Namespace, target: str) -> Outcome:
    try:
        flags.subject = subject_of(flags)  # kept, with its right gradients
        return Outcome(target, examined(flags, target, bar=False))
    except Exception as error:
        why = str(error) if isinstance(error, CannotCheck) else f"{type(error).__name__}: {error}"
        return Outcome(target, None, why)
