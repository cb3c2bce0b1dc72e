"""python -m rnn_torch.check FILE.py:FUNCTION: is this hand-written backward pass right?"""

import argparse
import gc
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import fields
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch

from rnn_numpy.commands import terminal
from rnn_numpy.commands.flag_types import NOT_NEGATIVE, Integer, positive
from bptt_check.commands.terminal import check_outputs, complain, progress, say
from rnn_numpy.elman_network.complex_step import complex_step
from rnn_numpy.elman_network.model import bptt, forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.rtrl import rtrl
from rnn_numpy.elman_network.textbook import Array, Backward, textbook
from bptt_check.candidate.escaping import shown
from bptt_check.commands.atomic_files import WeightsError, write_text
from bptt_check.subjects import subject_for
from bptt_check.judge.candidate import Candidate, in_this_process
from bptt_check.judge.examine import examine
from bptt_check.own_lines.lines import source_in_file, source_of
from bptt_check.judge.report import Report
from bptt_check.judge.subject import Answer, Ask, Asked, CannotCheck, Subject
from rnn_torch.elman_by_hand.problems import Shapes
from rnn_torch.elman_by_hand.subject import ElmanByHand, is_small
from rnn_torch.elman_network.model import autograd_gradient
from rnn_torch.fused.layer import FusedElmanRNN
from bptt_check.networks import STOCK, Network
from bptt_check.reports.text import ReadableReport, as_markdown, as_text, cannot_as_markdown

DESCRIPTION = """\
Check a hand-written back-propagation through time against autograd. Of a wrong one, show where in
time it goes wrong, and name the mistake.

FUNCTION computes the gradients of the sum of the losses of a network, on NumPy arrays: with
--network of that network, else backward(x, y, U, W, V) -> (dU, dW, dV) of 1/2 sum (o_t - y_t)^2 for
h_t = sigmoid(x_t U + h_{t-1} W), o_t = sigmoid(h_t V), h_0 = 0, with x (time, batch, n_in) and y
(time, batch, n_out). It returns them in order, or as a mapping with the keys dU, dW, ... The file
runs in a separate process that gets few environment variables. Without FILE.py:FUNCTION this
project's own backward passes are checked."""

EXIT_CODES = """\
exit codes: 0 right; 1 wrong, only approximate, or not a pure function; 2 cannot tell: it could not
be checked, or not in all it returns or at all problems; 130 stopped by Ctrl-C."""

EXAMPLES = (
    "examples/right_loop.py:backward",
    "examples/wrong_lstm.py:backward --network lstm",
)


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = terminal.parser("rnn_torch.check", DESCRIPTION, EXIT_CODES, EXAMPLES)
    add = parser.add_argument
    add("candidate", nargs="?", metavar="FILE.py:FUNCTION",
        help="backward pass to check, also FILE.ipynb:FUNCTION, FILE.py:CLASS.METHOD, or "
        "FILE.py:FORWARD,BACKWARD; default: this project's own")  # fmt: skip
    add("--network", metavar="NETWORK",
        help=f"network that it differentiates: {', '.join(STOCK)}, with options as in "
        "lstm,order=ifog,peepholes; or FILE.py:NETWORK, declared with @network "
        "(default: that of docs/bptt.md)")  # fmt: skip
    add("--loss", choices=["squared", "softmax", "upstream"],
        help="loss of a stock network (default: its own)")  # fmt: skip
    add("--definitions-only", action="store_true",
        help="run only the imports, functions, classes and constants of the file")  # fmt: skip
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
    add("--json", action="store_true", help="print the report as one JSON object")
    add("--markdown", action="store_true",
        help="print the report as Markdown, for a CI job's summary")  # fmt: skip
    add("--html", metavar="FILE.html",
        help="also write the report to this file, as one self-contained page")  # fmt: skip
    add("--plot", metavar="FILE.png",
        help="draw where in time the gradient is wrong (needs matplotlib)")  # fmt: skip
    add("--kill-matrix", action="store_true",
        help="check nothing; print which problem detects which mistake, as Markdown")  # fmt: skip
    flags = parser.parse_args(argv)
    flags.argv = sys.argv[1:] if argv is None else argv
    try:
        subject = subject_for(
            flags.network, shapes=flags.shapes, window=flags.window, loss=flags.loss,
            rate=flags.from_update,
        )  # fmt: skip
        if flags.network is not None and flags.candidate is None:
            raise ValueError("network needs a FILE.py:FUNCTION that differentiates it")
        if flags.timeout >= 1e6:
            raise ValueError(f"timeout must be below 1e6 seconds, got {flags.timeout:g}")
        for name in flags.env:
            if "=" in name:  # do not print the value: it may be a secret
                raise ValueError("env takes a name alone; its value is the one that is set")
            if name not in os.environ:
                raise ValueError(f"env must be the name of a variable that is set, got {name!r}")
        check_outputs(flags, "plot", "html")
        if flags.html is not None and find_spec("jinja2") is None:
            raise WeightsError("--html: a page needs jinja2: pip install jinja2")
    except WeightsError as error:
        parser.error(str(error))
    except ValueError as error:
        parser.error(f"--{error}")
    torch.set_num_threads(1)  # the problems are small
    if flags.kill_matrix:
        from rnn_torch.elman_by_hand.kill_matrix import as_table

        say(as_table(flags.dtype))
        return 0
    try:
        if flags.candidate is None:
            return _check_own(flags)
        return _check_candidate(flags, subject)
    except CannotCheck as error:
        return _cannot(flags, flags.candidate, str(error))
    except WeightsError as error:  # of a page or a picture; the report has been printed
        complain(f"error: {error}")
        return 2


def check(
    backward: Callable[..., Any],
    network: str | Network | None = None,
    *,
    dtype: str = "float64",
    shapes: str = "any",
    window: int | None = None,
    loss: str | None = None,
    seed: int = 0,
) -> ReadableReport:
    """Examine a function of this process: for Python, a notebook, a test.

    Args:
        backward: the backward pass; its arguments and gradients are NumPy arrays.
        network: the network that it must differentiate: a `Network`, a stock network's name, or
            FILE.py:NETWORK; if left out, the one of docs/bptt.md.
        dtype: float64 or float32.
        shapes, window, loss, seed: as the flags of `python -m rnn_torch.check`.

    Returns:
        The report: `print` shows the screen, a notebook the page of --html.

    Raises:
        CannotCheck: the backward pass gives no answer that can be judged.
        ValueError: an argument is invalid, or the network fails.
    """
    subject = subject_for(network, shapes=shapes, window=window, loss=loss)
    name = getattr(backward, "__name__", "backward")
    ask = in_this_process(backward, subject)
    source = source_of(backward)
    report = examine(ask, subject, dtype=dtype, seed=seed, name=name, source=source)
    return ReadableReport(**{field.name: getattr(report, field.name) for field in fields(report)})


def _check_candidate(flags: argparse.Namespace, subject: Subject) -> int:
    source = source_in_file(flags.candidate)  # before it can change its file
    candidate = Candidate(
        flags.candidate, subject, flags.timeout, flags.env, flags.definitions_only
    )
    with candidate, _counted(candidate) as ask:
        report = examine(
            ask, subject, dtype=flags.dtype, seed=flags.seed, name=flags.candidate,
            source=source,
        )  # fmt: skip
    if flags.json:
        document = {"candidate": shown(flags.candidate), **report.as_dict()}
        say(json.dumps(document, allow_nan=False))
    else:
        say((as_markdown if flags.markdown else as_text)(report, flags.candidate))
    _write_page(flags, [(flags.candidate, report)])
    if flags.plot is not None:
        _plot(report, flags)
    return report.exit_code


@contextmanager
def _counted(ask: Ask) -> Iterator[Ask]:
    """With a progress bar for a slow pass: it appears after three seconds, and not in a log."""
    with progress(None, " problems", what="asking", delay=3) as bar:

        def counted(problem: Any, *before: Any) -> Answer:
            bar.update()
            return ask(problem, *before)

        yield counted


def _write_page(
    flags: argparse.Namespace, reports: list[tuple[str, Report]], why: str = ""
) -> None:
    if flags.html is None:
        return
    from rnn_torch.elman_by_hand.kill_matrix import kill_matrix
    from bptt_check.reports.page import as_html

    matrix = kill_matrix(flags.dtype) if reports and flags.network is None else None
    name = flags.candidate or "our own passes"
    command = shlex.join(["python", "-m", "rnn_torch.check", *flags.argv])
    page = as_html(reports, flags.dtype, name=name, why=why, command=command, matrix=matrix)
    write_text(flags.html, page)


def _plot(report: Report, flags: argparse.Namespace) -> None:
    if report.where is None:
        complain(f"no plot: nothing is wrong in time, {flags.plot} is not written")
        return
    from bptt_check.reports.heat_map import heat_map

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


class _OwnPass(ElmanByHand):
    """For a pass that takes any size, or small problems only, if there are any."""

    small_only = False

    def problems(self, dtype: str, seed: int) -> Sequence[Any]:
        """As `Subject`."""
        found = super().problems(dtype, seed)
        return [p for p in found if is_small(p)] or found if self.small_only else found

    def blind(self, asked: Sequence[Asked]) -> list[str]:
        """None: what these sizes hide, others show."""
        return []


def _check_own(flags: argparse.Namespace) -> int:
    shapes = Shapes.parse(flags.shapes)
    if not shapes.batch_axis:
        raise CannotCheck("--shapes recipe is for a FILE.py:FUNCTION: our own take a batch axis")
    subject, reports = _OwnPass(shapes, flags.window), {}
    small = copy(subject)  # with the same references
    small.small_only = True
    for name, backward in own_passes(flags.window).items():
        its = small if name == "rnn_numpy.complex_step" else subject
        with _counted(in_this_process(backward, its)) as ask:
            reports[name] = examine(ask, its, dtype=flags.dtype, seed=flags.seed, name=name)
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
    with suppress(WeightsError):  # the reason is already printed
        _write_page(flags, [], why)
    return 2


class _Callable(ModuleType):
    """Makes the module callable, for `from rnn_torch import check; check(backward)`."""

    def __call__(self, *args: Any, **kwargs: Any) -> ReadableReport:
        return check(*args, **kwargs)


if __name__ == "__main__":
    gc.freeze()  # the imports' objects stay: looking through them again takes a third of a check
    sys.exit(main())
sys.modules[__name__].__class__ = _Callable
