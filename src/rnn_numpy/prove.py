"""python -m rnn_numpy.prove: show a learned adder right for operands of every length, or wrong."""

import argparse
import json
import sys
from collections.abc import Sequence

from bptt_check.commands import terminal
from bptt_check.commands.atomic_files import WeightsError, write_bytes
from bptt_check.commands.flag_types import POSITIVE, Integer
from bptt_check.commands.pictures import save
from bptt_check.commands.terminal import check_outputs, complain, progress, say
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.certificate import certificate
from rnn_numpy.proof.drawing import dot, machine_figure
from rnn_numpy.proof.explore import LIMIT, MOST_STATE_BITS, explore
from rnn_numpy.proof.machine import Minimal, Verdict, minimise
from rnn_numpy.proof.report import as_json, in_words
from rnn_numpy.real_proof import report as real_report
from rnn_numpy.real_proof import verdict as real_verdict
from rnn_numpy.real_proof.certificate import real_certificate
from rnn_numpy.storage.weights import load_params
from rnn_numpy.tasks import targets

DESCRIPTION = """\
Prove that a network computes its target (by default the sum) for operands of every length: as it
was trained, by enclosing every state that it can reach; or with --state-bits, its state rounded to
a few bits, by visiting every state. Or refute it by operands that it gets wrong."""

EXIT_CODES = """\
exit codes: 0 proved; 1 refuted; 2 bad input, or an output could not be written; 3 gave up: too many
states or sets of states, an output is not certain, or a rounding tie decides whether it is right.
docs/proof.md states what exactly is proved, and what has to be trusted."""
EXAMPLES = (
    "examples/smallest-adder.safetensors",
    "examples/smallest-adder.safetensors --state-bits 2 --certificate adder.certificate",
)


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = terminal.parser("rnn_numpy.prove", DESCRIPTION, EXIT_CODES, EXAMPLES)
    add = parser.add_argument
    add("weights", metavar="WEIGHTS", help="weights file from `train --out` of either package")
    add("--state-bits", type=Integer(1, MOST_STATE_BITS), metavar="B",
        help="round the state to multiples of 2^-B, B from 1 to 16; default: do not round it"
        )  # fmt: skip
    add("--dtype", choices=["float32", "float64"],
        help="without --state-bits: what the network is evaluated in; float32 covers float64, too "
        "(the weights' own)")  # fmt: skip
    add("--target", default="addition",
        help="what the network must compute: addition, subtraction, comparison, or "
        "multiplication:FACTOR (%(default)s)")  # fmt: skip
    add("--limit", type=POSITIVE, metavar="STATES",
        help="give up beyond this number of states, or of sets of states without --state-bits "
        f"({LIMIT}, {real_verdict.LIMIT})")  # fmt: skip
    add("--certificate", metavar="FILE",
        help="write the proof to this file, for python -m rnn_numpy.verify")  # fmt: skip
    add(
        "--plot",
        metavar="FILE.png",
        help="draw the minimised machine (needs matplotlib); with --state-bits",
    )
    add("--dot", metavar="FILE",
        help="write the minimised machine to this file, as a Graphviz graph; with --state-bits"
        )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object instead of text")
    flags = parser.parse_args(argv)
    try:
        target = targets.by_name(flags.target)
    except ValueError as error:
        parser.error(f"--{error}")
    with terminal.bad_input(parser, "not enough memory: a lower --limit?"):
        check_outputs(flags, "certificate", "plot", "dot")
        params, _ = load_params(flags.weights)
        if flags.state_bits is None:
            for flag in ("dot", "plot"):
                if getattr(flags, flag) is not None:
                    parser.error(f"--{flag} goes with --state-bits: only then is there a machine")
            return _real(flags, params, target)
        if flags.dtype is not None:
            parser.error("--dtype goes without --state-bits: that proof is for the weights' own")
        limit = flags.limit or LIMIT
        with progress(limit, "state") as bar:
            verdict = explore(params, flags.state_bits, target, limit=limit, on_progress=bar.update)
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
    return _exit_code(verdict.status, failure)


def _real(flags: argparse.Namespace, params: Params, target: targets.Target) -> int:
    """The proof of the network as it was trained; returns the exit code."""
    limit = flags.limit or real_verdict.LIMIT
    with progress(None, "set") as bar:
        verdict = real_verdict.prove_real(
            params, target, flags.dtype, limit=limit, on_progress=bar.update
        )
    failure, written = "", []
    if flags.certificate is not None:
        try:
            written = [f"{flags.certificate} not written: nothing is proved"]
            if verdict.status == "proved":
                lines = real_certificate(params, verdict)
                write_bytes(flags.certificate, "\n".join([*lines, ""]).encode())
                written = [f"written to {flags.certificate}"]
        except WeightsError as error:
            failure, written = str(error), []
    if flags.json:
        say(json.dumps(real_report.as_json(params, verdict), allow_nan=False))
    else:
        say("\n".join([*real_report.in_words(params, verdict), *written]))
    return _exit_code(verdict.status, failure)


def _exit_code(status: str, failure: str) -> int:
    if failure:
        complain(f"error: {failure}")
        return 2
    return {"proved": 0, "refuted": 1, "gave up": 3}[status]


def _write(
    flags: argparse.Namespace, params: Params, verdict: Verdict, minimal: Minimal | None
) -> list[str]:
    """Write what was asked for; returns what was written, in words."""
    wanted = [file for file in (flags.certificate, flags.dot, flags.plot) if file is not None]
    if minimal is None:
        return [f"{file} not written: nothing is proved" for file in wanted]
    if flags.certificate is not None:
        write_bytes(flags.certificate, "\n".join([*certificate(params, verdict), ""]).encode())
    if flags.dot is not None:
        write_bytes(flags.dot, dot(minimal, verdict.target).encode())
    if flags.plot is not None:
        save(machine_figure(minimal, verdict.target), flags.plot, bbox_inches="tight")
    return [f"written to {file}" for file in wanted]


if __name__ == "__main__":
    sys.exit(main())
