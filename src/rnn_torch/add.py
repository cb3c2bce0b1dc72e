"""python -m rnn_torch.add WEIGHTS A B: a learned network adds two integers of any length."""

import argparse
import json
import operator
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, SupportsIndex

import numpy as np
import torch

from bptt_check.commands import terminal
from bptt_check.commands.flag_types import POSITIVE
from bptt_check.commands.terminal import progress, say
from rnn_numpy.elman_network.params import Params
from rnn_numpy.real_proof.report import as_json, headline
from rnn_numpy.real_proof.verdict import LIMIT, prove_real
from rnn_numpy.storage.weights import load_params
from rnn_numpy.tasks.addition import from_bits, to_bits
from rnn_torch.fused.layer import FusedElmanRNN

DESCRIPTION = """\
Run a trained network on two integers of any length, bit by bit, and print its sum: in decimal, or
in the notation of A (0x, 0b). @FILE reads an operand from a file, - from standard input, for
numbers too long for a command line. With --prove a proof is tried that every sum is right."""

EXIT_CODES = "exit codes: 0 the sum is right; 1 it is wrong; 2 bad input, or it cannot be printed."
EXAMPLES = (
    "examples/smallest-adder.safetensors 12345678901234567890 98765432109876543210",
    "examples/smallest-adder.safetensors 12345 67890 --prove",
)
#: Steps in one call.
CHUNK = 1 << 16


def add(
    params: Params,
    a: SupportsIndex,
    b: SupportsIndex,
    on_steps: Callable[[int], object] = lambda steps: None,
) -> int:
    """The sum computed by a network with these weights.

    Args:
        on_steps: called with the number of bits added since the last call.

    Raises:
        TypeError, ValueError: an operand is not an integer >= 0, or weights do not suit the task.
    """
    if params.U.shape[0] != 2 or params.V.shape[1] != 1:
        raise ValueError(
            f"weights must have 2 inputs and 1 output, got {len(params.U)} and {params.V.shape[1]}"
        )
    a, b = operator.index(a), operator.index(b)
    width = max(a.bit_length(), b.bit_length()) + 1
    bits = np.stack([to_bits([operand], width)[:, 0] for operand in (a, b)], axis=-1)
    model, h, said = FusedElmanRNN.from_params(params), None, []
    with torch.inference_mode():
        for x in torch.from_numpy(bits).split(CHUNK):
            outputs, states = model(x[:, None].to(model.W.dtype), h)
            h = states[-1]
            said.append(outputs[:, 0].numpy() > 0.5)
            on_steps(len(x))
    return from_bits(np.concatenate(said))[0]


class Operand(NamedTuple):
    """An integer >= 0, and the format of the notation it was given in."""

    value: int
    notation: str


def operand(text: str) -> Operand:
    """An integer >= 0, in decimal, 0x or 0b; @FILE or - reads it from a file or standard input."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text("ascii")
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot be read from {text}: {error}") from error
    digits = text.strip().lower()
    base, notation = {"0x": (16, "#x"), "0b": (2, "#b")}.get(digits[:2], (10, "d"))
    with suppress(ValueError):
        if (value := int(digits, base)) >= 0:
            return Operand(value, notation)
    shown = digits if len(digits) <= 40 else f"{digits[:40]}..."
    raise argparse.ArgumentTypeError(f"must be an integer of at least 0, got {shown or 'nothing'}")


@terminal.command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    sys.set_int_max_str_digits(0)  # numbers of any length are the point
    parser = terminal.parser("rnn_torch.add", DESCRIPTION, EXIT_CODES, EXAMPLES)
    flag = parser.add_argument
    flag("weights", metavar="WEIGHTS", help="weights file from `train --out` of either package")
    flag("a", metavar="A", type=operand, help="integer >= 0: 123, 0x7b, 0b1111011, @FILE or -")
    flag("b", metavar="B", type=operand, help="integer >= 0, in the same forms")
    flag(
        "--prove",
        action="store_true",
        help="say which theorem covers the sum: try to prove all sums of the network as trained",
    )
    flag("--limit", type=POSITIVE, default=LIMIT, metavar="SETS",
         help="with --prove: give up beyond this number of sets of states (%(default)s)"
         )  # fmt: skip
    flag("--json", action="store_true", help="print one JSON object instead of text")
    flags = parser.parse_args(argv)
    with terminal.bad_input(parser):
        params, _ = load_params(flags.weights)
        (a, notation), (b, _) = flags.a, flags.b
        width = max(a.bit_length(), b.bit_length()) + 1
        with progress(width, "bit") as bar:
            said = add(params, a, b, bar.update)
        verdict = prove_real(params, limit=flags.limit) if flags.prove else None
    right = a + b
    if flags.json:
        proof = None if verdict is None else as_json(verdict)
        say(json.dumps({"sum": said, "right": said == right, "proof": proof}, allow_nan=False))
        return 0 if said == right else 1
    say(format(said, notation))
    if said != right:
        first = ((said ^ right) & -(said ^ right)).bit_length() - 1
        say(f"wrong: bit {first} of {width} is the first that is not that of the sum")
    if verdict is not None:
        say(headline(verdict))
    else:
        say("nothing is proved about other sums without --prove")
    return 0 if said == right else 1


if __name__ == "__main__":
    sys.exit(main())
