"""python -m rnn_torch.check FILE.py:FUNCTION: is this hand-written backward pass right?"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec

import torch
from tqdm import tqdm

from rnn_numpy.commands import terminal
from rnn_numpy.commands.terminal import check_outputs, complain, say
from rnn_numpy.elman_network.complex_step import complex_step
from rnn_numpy.elman_network.model import bptt, forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.rtrl import rtrl
from rnn_numpy.elman_network.textbook import Array, Backward, textbook
from rnn_numpy.isolation.strangers import shown
from rnn_numpy.storage.atomic_files import WeightsError, write_text
from rnn_torch.checker.candidate import Answer, Candidate, CannotCheck, in_this_process
from rnn_torch.checker.examine import Report, examine
from rnn_torch.checker.problems import Problem, Shapes
from rnn_torch.elman_network.gradient import autograd_gradient
from rnn_torch.fused.layer import FusedElmanRNN
from rnn_torch.reports.text import as_markdown, as_text, cannot_as_markdown

DESCRIPTION = """\
Tell whether a hand-written back-propagation through time is right; if not, where in time it goes
wrong, and which mistake it is.

The function is backward(x, y, U, W, V) -> (dU, dW, dV), or a mapping with these keys: NumPy arrays,
x (time, batch, n_in), y (time, batch, n_out), and the gradients of 1/2 sum (o_t - y_t)^2 for
h_t = sigmoid(x_t U + h_{t-1} W), o_t = sigmoid(h_t V), h_0 = 0. The file is run, in a process of
its own that gets few environment variables. Without an argument this project's own backward passes
are checked."""

EXIT_CODES = """\
exit codes: 0 it agrees; 1 it does not (or is approximate, or impure); 2 it could not be checked;
130 stopped by Ctrl-C."""


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = terminal.parser("rnn_torch.check", DESCRIPTION, EXIT_CODES)
    add = parser.add_argument
    add("candidate", nargs="?", metavar="FILE.py:FUNCTION", help="left out: this project's own")
    add("--dtype", choices=["float32", "float64"], default="float64", help="(%(default)s)")
    add("--window", type=int, metavar="K", help="BPTT truncated to K steps back from each loss")
    add("--shapes", default="any", help="any; recipe: x (8, 2), y (8, 1), no batch axis, 16 hidden")
    add("--seed", type=int, default=0, help="of the random problems (%(default)s)")
    add("--timeout", type=float, default=10.0, metavar="SECONDS", help="an answer (%(default)g)")
    add(
        "--env", action="append", default=[], metavar="NAME",
        help="an environment variable that the file gets, too; may be repeated",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object")
    add("--markdown", action="store_true", help="print Markdown, for a CI job's summary")
    add("--html", metavar="FILE.html", help="also write the report as one page, to look at")
    add("--plot", metavar="FILE.png", help="draw where in time it goes wrong (needs matplotlib)")
    add("--kill-matrix", action="store_true", help="which problem sees which mistake, as Markdown")
    flags = parser.parse_args(argv)
    try:
        shapes = Shapes.parse(flags.shapes)
        if flags.window is not None and not 0 <= flags.window <= 512:
            raise ValueError(f"window must be from 0 to 512, got {flags.window}")
        if not 0 < flags.timeout < 1e6:
            raise ValueError(f"timeout must be above 0 seconds, got {flags.timeout:g}")
        if flags.seed < 0:
            raise ValueError(f"seed must be at least 0, got {flags.seed}")
        for name in flags.env:
            if "=" in name:  # and show no value: it may be a secret
                raise ValueError("env takes a name alone; its value is the one that is set")
            if name not in os.environ:
                raise ValueError(f"env must be the name of a variable that is set, got {name!r}")
        check_outputs(flags, "plot", "html")
        if flags.html is not None and find_spec("jinja2") is None:
            raise WeightsError(
                "--html: a page needs jinja2: pip install 'rnn-bptt-reference[torch]'"
            )
    except WeightsError as error:
        parser.error(str(error))
    except ValueError as error:
        parser.error(f"--{error}")
    torch.set_num_threads(1)  # the problems are small
    if flags.kill_matrix:
        from rnn_torch.checker.kill_matrix import as_table

        say(as_table(flags.dtype))
        return 0
    try:
        if flags.candidate is None:
            return _check_own(flags, shapes)
        return _check_candidate(flags, shapes)
    except CannotCheck as error:
        return _cannot(flags, flags.candidate, str(error))
    except WeightsError as error:  # of a page or a picture; the report has been printed
        complain(f"error: {error}")
        return 2


def _check_candidate(flags: argparse.Namespace, shapes: Shapes) -> int:
    # For candidates that take their time; nothing is shown in the first seconds, or in a log.
    bar = tqdm(desc="asking", unit=" problems", leave=False, disable=None, delay=3)
    with bar, Candidate(flags.candidate, shapes, flags.timeout, flags.env) as candidate:

        def ask(problem: Problem, *before: Problem) -> Answer:
            bar.update()
            return candidate(problem, *before)

        report = examine(
            ask, dtype=flags.dtype, window=flags.window, shapes=shapes, seed=flags.seed
        )
    if flags.json:
        document = {"candidate": shown(flags.candidate), **report.as_dict()}
        say(json.dumps(document, allow_nan=False))
    else:
        say((as_markdown if flags.markdown else as_text)(report, flags.candidate))
    _write_page(flags, [(flags.candidate, report)])
    if flags.plot is not None:
        _plot(report, flags)
    return 0 if report.right else 1


def _write_page(
    flags: argparse.Namespace, reports: list[tuple[str, Report]], why: str = ""
) -> None:
    if flags.html is None:
        return
    from rnn_torch.reports.page import as_html

    page = as_html(reports, flags.dtype, name=flags.candidate or "our own passes", why=why)
    write_text(flags.html, page)


def _plot(report: Report, flags: argparse.Namespace) -> None:
    if report.where is None:
        complain(f"no plot: nothing is wrong in time, {flags.plot} is not written")
        return
    from rnn_torch.reports.heat_map import heat_map

    heat_map(report, flags.candidate, flags.plot)


def own_passes(window: int | None) -> dict[str, Backward]:
    """This project's backward passes; only `bptt` truncates."""

    def by_hand(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        params = Params(U, W, V)
        return bptt(params, forward(params, x)[1], y, window=window)

    passes: dict[str, Backward] = {"rnn_numpy.bptt": by_hand}
    if window is None:
        passes["rnn_numpy.textbook"] = textbook
        passes["rnn_numpy.rtrl"] = lambda x, y, U, W, V: rtrl(Params(U, W, V), x, y)
        passes["rnn_numpy.complex_step"] = lambda x, y, U, W, V: complex_step(Params(U, W, V), x, y)
        passes["rnn_torch.fused"] = lambda x, y, U, W, V: autograd_gradient(
            FusedElmanRNN.from_params(Params(U, W, V)), x, y
        )
    return passes


def _check_own(flags: argparse.Namespace, shapes: Shapes) -> int:
    if not shapes.batch_axis:
        raise CannotCheck("--shapes recipe is for a FILE.py:FUNCTION: our own take a batch axis")
    reports = {
        name: examine(
            in_this_process(backward),
            dtype=flags.dtype,
            window=flags.window,
            shapes=shapes,
            seed=flags.seed,
        )
        for name, backward in own_passes(flags.window).items()
    }
    if flags.json:
        say(json.dumps({n: r.as_dict() for n, r in reports.items()}, allow_nan=False))
    else:
        for name, report in reports.items():
            say((as_markdown if flags.markdown else as_text)(report, name))
    _write_page(flags, list(reports.items()))
    return 0 if all(report.right for report in reports.values()) else 1


def _cannot(flags: argparse.Namespace, name: str | None, why: str) -> int:
    if flags.json:
        document = {"candidate": name and shown(name), "verdict": "cannot check", "why": why}
        say(json.dumps(document))
    elif flags.markdown:
        say(cannot_as_markdown(name or "our own passes", why))
    else:
        complain(f"CANNOT CHECK {name or 'our own passes'}: {why}.")
    with suppress(WeightsError):  # it is said already that nothing can be told
        _write_page(flags, [], why)
    return 2


if __name__ == "__main__":
    sys.exit(main())
