"""python -m bptt_check FILE.py:FUNCTION: is this hand-written backward pass right?"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from bptt_check.commands.needs import require_torch

require_torch("bptt_check")

import torch

from bptt_check.candidate.escaping import shown
from bptt_check.commands import terminal
from bptt_check.commands.atomic_files import WeightsError, write_bytes
from bptt_check.commands.flag_types import NOT_NEGATIVE, Integer, positive
from bptt_check.commands.terminal import SIGNALLED, check_outputs, complain, progress, say, width
from bptt_check.judge.asking import CannotCheck
from bptt_check.judge.candidate import in_this_process
from bptt_check.judge.examine import examine
from bptt_check.judge.report import SCHEMA, Report
from bptt_check.mending.lines import folder_of
from bptt_check.networks import STOCK
from bptt_check.reports.rows import as_csv, as_markdown_table, as_rows, row
from bptt_check.reports.text import as_markdown, as_text, cannot_as_markdown
from bptt_check.several import (
    Outcome,
    counted,
    examined,
    is_pattern,
    named,
    outcomes,
    pages_of,
    subject_of,
)

DESCRIPTION = """\
Check a hand-written back-propagation through time against autograd. Of a wrong one, show where in
time it goes wrong, and name the mistake.

FUNCTION computes the gradients of the sum of the losses of a network, on NumPy arrays: with
--network of that network, else backward(x, y, U, W, V) -> (dU, dW, dV) of 1/2 sum (o_t - y_t)^2 for
h_t = sigmoid(x_t U + h_{t-1} W), o_t = sigmoid(h_t V), h_0 = 0, with x (time, batch, n_in) and y
(time, batch, n_out). It returns them in order, or as a mapping with the keys dU, dW, ... The file
runs in a separate process that gets few environment variables."""

OURS = "our own passes"
OWN = "Without FILE.py:FUNCTION this project's own backward passes are checked."

EXIT_CODES = """\
exit codes: 0 right; 1 wrong, only approximate, or not a pure function; 2 cannot tell: it could not
be checked, or not in all it returns or at all problems; 130 stopped by Ctrl-C."""

EXAMPLES = (
    "examples/right_loop.py:backward",
    "examples/wrong_lstm.py:backward --network lstm",
)


class OwnPass(NamedTuple):
    """A backward pass of the network of docs/bptt.md that is checked if no file is given."""

    name: str
    backward: Callable[..., Any]
    is_slow: bool = False  # it runs the network once for each weight


@terminal.command
def main(
    argv: Sequence[str] | None = None,
    *,
    program: str = "bptt_check",
    own_passes: Callable[[int | None], Sequence[OwnPass]] | None = None,
) -> int:
    """Run the command; returns its exit code.

    Args:
        program: the module that it is run as.
        own_passes: the passes for a window that are checked without a file.
    """
    flags = _flags(argv, program, own_passes is not None)
    torch.set_num_threads(1)  # the problems are small
    try:
        if flags.is_class:
            return _check_class(flags)
        if flags.candidate is not None:
            return _check_candidate(flags)
        assert own_passes is not None
        return _check_own(flags, own_passes(flags.window))
    except CannotCheck as error:
        return _cannot(flags, str(error))
    except WeightsError as error:  # of a page or a picture; the report has been printed
        complain(f"error: {error}")
        return 2


def _flags(argv: Sequence[str] | None, program: str, has_own: bool) -> argparse.Namespace:
    """The flags, `subject` among them; ends the command if one is invalid."""
    parser = _parser(program, has_own)
    flags = parser.parse_args(argv)
    flags.command = shlex.join(["python", "-m", program, *(sys.argv[1:] if argv is None else argv)])
    if flags.loop is not None:
        if not (flags.candidates and flags.loop.startswith("for ")):
            parser.error("--loop needs a FILE.py, and the beginning of its loop: 'for j in range'")
        flags.candidates = [f"{each}:{flags.loop.rstrip(': ')}" for each in flags.candidates]
        flags.from_update = flags.from_update or 1.0
        flags.shapes = "recipe" if flags.network is None and flags.shapes == "any" else flags.shapes
    flags.program, given = program, flags.candidates
    flags.is_class = len(given) > 1 or flags.csv or any(map(is_pattern, given))
    flags.candidate = given[0] if given else None
    with terminal.bad_input(parser):
        flags.candidates = named(given)
    try:
        flags.subject = subject_of(flags)
    except ValueError as error:
        parser.error(f"--{error}")
    with terminal.bad_input(parser):
        if flags.candidate is None and flags.network is not None:
            raise ValueError("--network needs a FILE.py:FUNCTION that differentiates it")
        if flags.candidate is None and not has_own:
            raise ValueError("give the FILE.py:FUNCTION to check")
        if flags.timeout >= 1e6:
            raise ValueError(f"--timeout must be below 1e6 seconds, got {flags.timeout:g}")
        for name in flags.env:
            if "=" in name:  # do not print the value: it may be a secret
                raise ValueError("--env takes a name alone; its value is the one that is set")
            if name not in os.environ:
                raise ValueError(f"--env must be the name of a variable that is set, got {name!r}")
        check_outputs(flags, "plot", "patch", *([] if flags.is_class else ["html"]))
        if flags.html is not None:
            _check_page(flags.html, flags.is_class)
        if flags.is_class and (flags.plot or flags.patch):
            raise ValueError(f"--{'plot' if flags.plot else 'patch'} is for one FILE.py:FUNCTION")
    return flags


def _check_page(file: str, of_several: bool) -> None:
    if of_several:
        try:
            Path(file).mkdir(exist_ok=True)
        except OSError as error:
            why = f"--html: {file} cannot be a folder of pages: {error.strerror}"
            raise ValueError(why) from error
    elif Path(file).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--html: a page's name must end in .html, got {file}")
    if find_spec("jinja2") is None:
        raise ValueError("--html: a page needs jinja2: pip install jinja2")


def _parser(program: str, has_own: bool) -> argparse.ArgumentParser:
    description = f"{DESCRIPTION} {OWN}" if has_own else DESCRIPTION
    parser = terminal.parser(program, description, EXIT_CODES, EXAMPLES)
    add = parser.add_argument
    add("candidates", nargs="*", metavar="FILE.py:FUNCTION",
        help="backward pass to check, also FILE.ipynb:FUNCTION, FILE.py:CLASS.METHOD, or "
        "FILE.py:FORWARD,BACKWARD; of several, or of a pattern such as 'class/*.py:backward', a "
        "table is printed" + "; default: this project's own" * has_own)  # fmt: skip
    add("--network", metavar="NETWORK",
        help=f"network that it differentiates: {', '.join(STOCK)}, with options as in "
        "lstm,order=ifog,peepholes; or FILE.py:NETWORK, declared with @network, or with @layer: "
        "then FUNCTION is a torch callable "
        "(default: that of docs/bptt.md)")  # fmt: skip
    add("--loss", choices=["squared", "softmax", "upstream"],
        help="loss of a stock network (default: its own)")  # fmt: skip
    add("--definitions-only", action="store_true",
        help="run only the imports, functions, classes and constants of the file")  # fmt: skip
    add("--loop", metavar="TEXT",
        help="check a script's training loop, the one that begins so, as in "
        "`adder.py --loop 'for j in range'`; it learns to add")  # fmt: skip
    add("--from-update", type=positive, metavar="RATE",
        help="the function returns no gradients: it subtracts RATE times each from its weights; "
        "RATE is a power of two")  # fmt: skip
    add("--dtype", choices=["float32", "float64"], default="float64",
        help="floating-point type of the problems (%(default)s)")  # fmt: skip
    add("--window", type=Integer(0, 512), metavar="K",
        help="check BPTT truncated to K steps back from each loss")  # fmt: skip
    add("--shapes", default="any",
        help="sizes of the problems. any: many sizes; hidden=16,batch=1: these axes fixed; without "
        "--network also recipe: x (8, 2), y (8, 1), no batch axis, 16 hidden units; or five "
        "numbers time,batch,n_in,hidden,n_out (%(default)s)")  # fmt: skip
    add("--seed", type=NOT_NEGATIVE, default=0, help="seed of the random problems (%(default)s)")
    add("--timeout", type=positive, default=10.0, metavar="SECONDS",
        help="time limit for one answer (%(default)g)")  # fmt: skip
    add(
        "--env", action="append", default=[], metavar="NAME",
        help="pass this environment variable to the file, too; may be repeated",
    )  # fmt: skip
    add("--strict", action="store_true", help="exit code 1 also if a layer loses digits")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as one JSON object")
    form.add_argument("--markdown", action="store_true",
        help="print the report as Markdown, for a CI job's summary")  # fmt: skip
    form.add_argument("--csv", action="store_true", help="print a row for each file as CSV")
    add("--html", metavar="FILE.html",
        help="also write the report to this file, as one self-contained page; of several, a page "
        "each to this folder")  # fmt: skip
    add("--patch", metavar="FILE.diff",
        help="write the lines that mend it as a unified diff for `patch -p0`")  # fmt: skip
    add("--plot", metavar="FILE.png",
        help="draw where in time the gradient is wrong (needs matplotlib)")  # fmt: skip
    return parser


def _document(target: str | None, report: Report | None, why: str = "") -> dict[str, Any]:
    own = {"verdict": "cannot check", "why": why} if report is None else report.as_dict()
    return {"candidate": target and shown(target), **own}


def _check_class(flags: argparse.Namespace) -> int:
    """Check several, and print what is known of them, also after Ctrl-C."""
    found, code = dict[str, Outcome](), 0
    settings = argparse.Namespace(**{n: v for n, v in vars(flags).items() if n != "subject"})
    with progress(len(flags.candidates), " files", what="checking") as bar:
        try:
            for outcome in outcomes(flags.candidates, settings):
                found[outcome.target] = outcome
                code = max(code, outcome.exit_code)
                bar.update()
        except KeyboardInterrupt:
            code = SIGNALLED[0]
    ordered = [found[target] for target in flags.candidates if target in found]
    if flags.json:
        documents = [_document(each.target, each.report, each.why) for each in ordered]
        say(json.dumps({"schema": SCHEMA, "candidates": documents}, allow_nan=False))
    pages = _write_pages(flags, ordered)
    if not flags.json:
        rows = [row(*each, page) for each, page in zip(ordered, pages, strict=True)]
        face = as_csv if flags.csv else as_markdown_table if flags.markdown else None
        say(face(rows) if face else as_rows(rows, width(sys.stdout)))
    return code


def _write_pages(flags: argparse.Namespace, found: Sequence[Outcome]) -> list[str]:
    """A page each if they are wanted; their paths, else empty ones."""
    if flags.html is None:
        return [""] * len(found)
    pages = [os.path.join(flags.html, name) for name in pages_of([o.target for o in found])]
    for page, (target, report, why) in zip(pages, found, strict=True):
        _write_page(flags, page, target, {} if report is None else {target: report}, why)
    return pages


def _check_candidate(flags: argparse.Namespace) -> int:
    report = examined(flags, flags.candidate)
    if flags.json:
        say(json.dumps(_document(flags.candidate, report), allow_nan=False))
    else:
        _say_report(flags, report, flags.candidate)
    if flags.html is not None:
        _write_page(flags, flags.html, flags.candidate, {flags.candidate: report})
    if flags.plot is not None:
        _plot(report, flags)
    if flags.patch is not None:
        _write_patch(report, flags)
    return report.exit_code or int(flags.strict and bool(report.lost))


def _say_report(flags: argparse.Namespace, report: Report, name: str) -> None:
    say(as_markdown(report, name) if flags.markdown else as_text(report, name, width(sys.stdout)))


def _write_page(
    flags: argparse.Namespace, file: str, name: str, reports: Mapping[str, Report], why: str = ""
) -> None:
    from bptt_check.reports.page import as_html

    page = as_html([*reports.items()], flags.dtype, name=name, why=why, command=flags.command)
    write_bytes(file, page.encode())


def _write_patch(report: Report, flags: argparse.Namespace) -> None:
    mend = report.mend
    if report.right:
        why = "it is RIGHT as it is"
    elif mend is None or not mend.proved:
        why = "no change of its lines was found with which the whole check says RIGHT"
    elif any(line.file.endswith(".ipynb") for line in mend.lines):
        why = "a notebook's cells cannot be patched"
    else:
        write_bytes(flags.patch, mend.patch.encode())
        folder = folder_of({line.file for line in mend.lines})
        there = "" if folder == os.getcwd() else f" -d {shlex.quote(folder)}"
        complain(f"to apply it: patch -p0{there} -i {shlex.quote(flags.patch)}")
        return
    stale = f"; {flags.patch} is an earlier one" if os.path.exists(flags.patch) else ""
    complain(f"no patch: {why}{stale}")


def _plot(report: Report, flags: argparse.Namespace) -> None:
    if report.where is None:
        complain(f"no plot: nothing is wrong in time, {flags.plot} is not written")
        return
    from bptt_check.reports.heat_map import heat_map

    heat_map(report, flags.candidate, flags.plot)


def _check_own(flags: argparse.Namespace, passes: Sequence[OwnPass]) -> int:
    if "batch" not in flags.subject.network.axis_names:
        raise CannotCheck("--shapes recipe is for a FILE.py:FUNCTION: our own take a batch axis")
    reports = {}
    subject = copy(flags.subject)  # with the same references
    subject.lists_blind = False  # what these sizes hide, others show
    small = copy(subject)
    small.small_only = True
    for name, backward, is_slow in passes:
        its = small if is_slow else subject
        with counted(in_this_process(backward, its)) as ask:
            reports[name] = examine(ask, its, dtype=flags.dtype, seed=flags.seed, name=name)
    if flags.json:
        say(json.dumps({n: r.as_dict() for n, r in reports.items()}, allow_nan=False))
    else:
        for name, report in reports.items():
            _say_report(flags, report, name)
    if flags.html is not None:
        _write_page(flags, flags.html, OURS, reports)
    return max(report.exit_code for report in reports.values())


def _cannot(flags: argparse.Namespace, why: str) -> int:
    name = flags.candidate or OURS
    if flags.json:
        say(json.dumps(_document(flags.candidate, None, why)))
    elif flags.markdown:
        say(cannot_as_markdown(name, why))
    else:
        complain(f"CANNOT CHECK {name}: {why}.")
    if flags.html is not None:
        with suppress(WeightsError):  # the reason is already printed
            _write_page(flags, flags.html, name, {}, why)
    return 2


if __name__ == "__main__":
    sys.exit(main())
