"""python -m rnn_numpy.prove: show a learned adder right for operands of every length, or wrong."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from bptt_check.commands import terminal
from bptt_check.commands.atomic_files import WeightsError, write_bytes
from bptt_check.commands.flag_types import POSITIVE, Integer
from bptt_check.commands.terminal import check_outputs, complain, progress, say
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.certificate import certificate
from rnn_numpy.proof.explore import LIMIT, MOST_STATE_BITS, explore
from rnn_numpy.proof.machine import Proved
from rnn_numpy.proof.report import as_json, in_words
from rnn_numpy.real_proof import report as real_report
from rnn_numpy.real_proof import verdict as real_verdict
from rnn_numpy.real_proof.certificate import real_certificate
from rnn_numpy.real_proof.verdict import prove_real
from rnn_numpy.storage.weights import load_params
from rnn_numpy.tasks.targets import Target, by_name

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
    add("--json", action="store_true", help="print one JSON object instead of text")
    flags = parser.parse_args(argv)
    try:
        target = by_name(flags.target)
    except ValueError as error:
        parser.error(f"--{error}")
    prove = _as_trained if flags.state_bits is None else _rounded
    with terminal.bad_input(parser, "not enough memory: a lower --limit?"):
        if flags.state_bits is not None and flags.dtype is not None:
            parser.error("--dtype goes without --state-bits: that proof is for the weights' own")
        check_outputs(flags, "certificate")
        params, _ = load_params(flags.weights)
        status, words, document, proof = prove(flags, params, target)
    failure, lines = "", list(words)
    if flags.certificate is not None and proof is None:
        lines.append(f"{flags.certificate} not written: nothing is proved")
    elif flags.certificate is not None and proof is not None:
        try:
            write_bytes(flags.certificate, "\n".join([*proof, ""]).encode())
            lines.append(f"written to {flags.certificate}")
        except WeightsError as error:  # since it was asked; the verdict is shown all the same
            failure = str(error)
    say(json.dumps(document, allow_nan=False) if flags.json else "\n".join(lines))
    if failure:
        complain(f"error: {failure}")
        return 2
    return {"proved": 0, "refuted": 1, "gave up": 3}[status]


#: The status, the lines of text, the values for --json, and the certificate if there is one.
Answer = tuple[str, Iterable[str], dict[str, Any], Iterable[str] | None]


def _as_trained(flags: argparse.Namespace, params: Params, target: Target) -> Answer:
    limit = flags.limit or real_verdict.LIMIT
    with progress(None, "set") as bar:
        verdict = prove_real(params, target, flags.dtype, limit=limit, on_progress=bar.update)
    proof = real_certificate(params, verdict) if isinstance(verdict, real_verdict.Proved) else None
    words, document = real_report.in_words(verdict), real_report.as_json(verdict)
    return verdict.status, words, document, proof


def _rounded(flags: argparse.Namespace, params: Params, target: Target) -> Answer:
    limit = flags.limit or LIMIT
    with progress(limit, "state") as bar:
        verdict = explore(params, flags.state_bits, target, limit=limit, on_progress=bar.update)
    proof = certificate(params, verdict) if isinstance(verdict, Proved) else None
    return verdict.status, in_words(verdict), as_json(verdict), proof


if __name__ == "__main__":
    sys.exit(main())
