"""The lines that mend a pass: found by edits, and proved by the whole check of the edited pass."""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from bptt_check.candidate.loading import parsed, place
from bptt_check.catalogue import Catalogue
from bptt_check.editing.program import apply_to
from bptt_check.editing.workshop import Offer
from bptt_check.mending.search import Bench, Mended, Mending
from bptt_check.naming import Asked
from bptt_check.networks import Network, Problem
from bptt_check.tracing.locate import error_arguments

_TRACED = range(4, 9)  # steps of the problem that shows which lines run
_MOST_TRIED = 2  # sets of edits: the whole check may not say RIGHT of the first


class Line(NamedTuple):
    """A line of a file; `place`: `line 12`, or `cell 3, line 7`."""

    file: str
    place: str
    text: str


class Leads(NamedTuple):
    """Lines with values that wrong gradients depend on, and right ones do not.

    `to_all`: every wrong gradient, of those in `wrong`, depends on each of them; else some do.
    `wrong` are those of the finite answers alone.
    """

    lines: tuple[Line, ...]
    to_all: bool
    wrong: tuple[str, ...]


class LineEdit(NamedTuple):
    """A line of a file before and after; its `place` as in `Line`."""

    file: str
    place: str
    before: str
    after: str


class Mend(NamedTuple):
    """Lines with which the gradients `right` are right at every problem, and `left` are not.

    `proved`: with them the whole check says RIGHT. `patch`: a unified diff. `one_step`: they are
    right at the problems of one step alone.
    """

    lines: tuple[LineEdit, ...]
    right: tuple[str, ...]
    left: tuple[str, ...]
    proved: bool
    patch: str
    one_step: bool = False


class Mender(Protocol):
    """A pass whose lines can be changed."""

    def workshop(self, problems: Sequence[Any]) -> AbstractContextManager[Any]:
        """A `Bench`: its lines can be changed, in this context."""

    def edited(
        self, texts: Mapping[str, str], bench: Any, edits: Sequence[int]
    ) -> AbstractContextManager[Any]:
        """The pass with edits, which make these texts of its files."""


def lines_that_mend(
    mender: Mender,
    catalogue: Catalogue,
    trials: Sequence[Asked],
    check: Callable[[Any], bool] | None,
    *,
    truncated: bool = False,
) -> tuple[Mend | None, Leads]:
    """The lines to change, if any are found, and those that lead to what is wrong.

    Args:
        catalogue: of the network.
        trials: finite answers.
        check: whether a pass is right, by the whole check; None: change no lines.
        truncated: the trials' right gradients are those of truncated back-propagation.
    """
    ordered = sorted(trials, key=_shows_lines)
    problems = [a.problem for a in ordered]
    others = _other_errors(catalogue.network, problems[0])
    with mender.workshop([*problems, others]) as bench:
        if not bench.offers:
            return None, Leads((), False, ())
        mending = Mending(bench, catalogue, ordered, truncated)
        leads, found, proved = _leads(bench, *mending.leading()), Mended((), (), ()), False
        for _ in range(_MOST_TRIED if check else 0):
            last = mending.mended()
            if not last.edits or (found.edits and (last.left or last.one_step)):
                break
            found, offers = last, [bench.offers[number] for number in last.edits]
            before, after = _texts(bench, offers)
            if check is not None and not (found.left or found.one_step):
                with mender.edited(after, bench, found.edits) as ask:
                    proved = check(ask)
            if proved or found.left or found.one_step:
                break
            mending.leave_out(found.edits)
        if not found.edits:
            return None, leads
    lines = tuple(line for file in after for line in _changed(file, before[file], after[file]))
    patch = _patch(before, after)
    return Mend(lines, found.right, found.left, proved, patch, found.one_step), leads


def _leads(bench: Bench, numbers: Iterable[int], to_all: bool, wrong: tuple[str, ...]) -> Leads:
    found = set()
    for file in {file for file, _, _ in bench.functions if file.endswith(".ipynb")}:
        with suppress(OSError, ValueError):
            parsed(file)  # for the places of its cells
    for offer in (bench.offers[number] for number in numbers):
        file, first, text = bench.functions[offer.function]
        after = text.encode()[: offer.start].count(b"\n")
        found.add((file, first + after, text.split("\n")[after].strip()))
    its = tuple(Line(f, place(f, n), text) for f, n, text in sorted(found))
    return Leads(its, to_all, wrong)


def _shows_lines(a: Asked) -> tuple[bool, bool, bool, bool, int, int]:
    """Sorts first what shows most: a wrong answer, several steps, sizes that differ, few numbers.

    Where the answer is right the wrong lines may not run.
    """
    right, bounds = a.right.gradients, a.right.bounds
    is_right = all(bool((abs(g - right[n]) <= 2 * bounds[n]).all()) for n, g in a.answer.items())
    sizes, values = a.problem.sizes, a.problem.values.values()
    many = sizes.get("time", 1) not in _TRACED
    repeats = any(len(np.unique(v)) < v.size for v in values if v.dtype.kind == "f")
    return (
        is_right,
        many,
        1 in sizes.values(),
        repeats,
        -len(set(sizes.values())),
        sum(sizes.values()),
    )


def _other_errors(network: Network, problem: Problem) -> Problem:
    """The problem with other targets, or upstream gradients."""
    values, arguments = dict(problem.values), network.arguments
    of_all = [n for n, a in arguments.items() if not a.is_number and a.time_axis is None]
    for name in (*error_arguments(network), *of_all):
        values[name] = np.roll(values[name], 1, arguments[name].time_axis)
    return problem._replace(values=values)


def _texts(bench: Bench, offers: Sequence[Offer]) -> tuple[dict[str, str], dict[str, str]]:
    """The files before and after, with the ends of their lines as they are."""
    before: dict[str, str] = {}
    after: dict[str, list[str]] = {}
    for number in sorted({o.function for o in offers}):
        file, first, text = bench.functions[number]
        if file not in before:
            before[file] = _text(file) or "\n" * (first - 1) + text
            after[file] = before[file].split("\n")
        its = [(o.start, o.end, o.text) for o in offers if o.function == number]
        edited = apply_to(text.encode(), its).decode().split("\n")
        for at, (old, new) in enumerate(zip(text.split("\n"), edited, strict=True), first - 1):
            if old != new:
                after[file][at] = new + "\r" * after[file][at].endswith("\r")
    return before, {file: "\n".join(lines) for file, lines in after.items()}


def _text(file: str) -> str:
    """The text of a file; empty if there is none."""
    if not Path(file).is_file():
        return ""
    is_notebook = file.endswith(".ipynb")
    return parsed(file)[0] if is_notebook else Path(file).read_bytes().decode("utf-8-sig")


def _changed(file: str, before: str, after: str) -> list[LineEdit]:
    pairs = zip(before.split("\n"), after.split("\n"), strict=True)
    return [
        LineEdit(file, place(file, number), old.strip(), new.strip())
        for number, (old, new) in enumerate(pairs, 1)
        if old != new
    ]


def _patch(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """A unified diff, of files by their paths from `folder_of` these."""
    folder, found = folder_of(after), ""
    for file, text in after.items():
        old, new = ([f"{line}\n" for line in its.split("\n")] for its in (before[file], text))
        name = os.path.relpath(file, folder)
        found += "".join(difflib.unified_diff(old[:-1], new[:-1], name, name))
    return found


def folder_of(files: Iterable[str]) -> str:
    """The current folder, if these files lie there or below, else the innermost that has all."""
    folders = [os.path.dirname(os.path.abspath(file)) for file in files]
    here = os.getcwd()
    is_here = all(os.path.commonpath([here, folder]) == here for folder in folders)
    return here if is_here else os.path.commonpath(folders)
