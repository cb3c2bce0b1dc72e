"""python -m rnn_numpy.prove: show a learned adder right for operands of every length, or wrong."""

import argparse
import json
import sys
from collections.abc import Sequence

from rnn_numpy.commands import terminal
from rnn_numpy.commands.flag_types import POSITIVE, STATE_BITS
from rnn_numpy.commands.terminal import check_outputs, complain, progress, say
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.certificate import certificate
from rnn_numpy.proof.drawing import dot, machine_figure
from rnn_numpy.proof.explore import LIMIT, explore
from rnn_numpy.proof.machine import Minimal, Verdict, minimise
from rnn_numpy.proof.report import as_json, in_words
from rnn_numpy.storage.atomic_files import WeightsError, write_text
from rnn_numpy.storage.pictures import save
from rnn_numpy.storage.weights import load_params
from rnn_numpy.tasks import targets

DESCRIPTION = """\
Prove that a network whose state is rounded to a few bits computes its target (by default the sum)
for operands of every length, by visiting every reachable state; or refute it by a shortest
counterexample."""

EXIT_CODES = """\
exit codes: 0 proved; 1 refuted; 2 bad input, or an output could not be written; 3 gave up: too many
states, or a rounding tie decides whether an output is right.
docs/proof.md states what exactly is proved, and what has to be trusted."""


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = terminal.parser("rnn_numpy.prove", DESCRIPTION, EXIT_CODES)
    add = parser.add_argument
    add("weights", metavar="WEIGHTS", help="weights file from `train --out` of either package")
    add("--state-bits", type=STATE_BITS, default=5, metavar="B",
        help="round the state to multiples of 2^-B, B from 1 to 16 (%(default)s)")  # fmt: skip
    add("--target", default="addition",
        help="what the network must compute: addition, subtraction, comparison, or "
        "multiplication:FACTOR (%(default)s)")  # fmt: skip
    add("--limit", type=POSITIVE, default=LIMIT, metavar="STATES",
        help="give up beyond this number of states (%(default)s)")  # fmt: skip
    add("--certificate", metavar="FILE",
        help="write the proof to this file, for python -m rnn_numpy.verify")  # fmt: skip
    add("--plot", metavar="FILE.png", help="draw the minimised machine (needs matplotlib)")
    add("--dot", metavar="FILE",
        help="write the minimised machine to this file, as a Graphviz graph")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object instead of text")
    flags = parser.parse_args(argv)
    with terminal.bad_input(parser, "not enough memory: a lower --limit?"):
        check_outputs(flags, "certificate", "plot", "dot")
        params, _ = load_params(flags.weights)
        target = targets.by_name(flags.target)
        with progress(flags.limit, "state") as bar:
            verdict = explore(
                params, flags.state_bits, target, limit=flags.limit, on_progress=bar.update
            )
        minimal = minimise(verdict.machine) if verdict.status == "proved" else None
    failure, written = "", []
    try:
        written = _write(flags, params, verdict, minimal)
    except WeightsError as error:  # since it was asked; the verdict is shown all the same
        failure = str(error)
    if flags.json:
        say(json.dumps(as_json(params, verdict, minimal), allow_nan=False))
    else:
        say("\n".join([*in_words(params, verdict, minimal), *written]))
    if failure:
        complain(f"error: {failure}")
        return 2
    return {"proved": 0, "refuted": 1, "gave up": 3}[verdict.status]


def _write(
    flags: argparse.Namespace, params: Params, verdict: Verdict, minimal: Minimal | None
) -> list[str]:
    """Write what was asked for; returns what was written, in words."""
    wanted = [file for file in (flags.certificate, flags.dot, flags.plot) if file is not None]
    if minimal is None:
        return [f"{file} not written: nothing is proved" for file in wanted]
    if flags.certificate is not None:
        write_text(flags.certificate, "\n".join(certificate(params, verdict)) + "\n")
    if flags.dot is not None:
        write_text(flags.dot, dot(minimal, verdict.target))
    if flags.plot is not None:
        save(machine_figure(minimal, verdict.target), flags.plot, bbox_inches="tight")
    return [f"written to {file}" for file in wanted]


if __name__ == "__main__":
    sys.exit(main())
