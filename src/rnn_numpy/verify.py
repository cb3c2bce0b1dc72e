"""Check a certificate of `rnn_numpy.prove` without trusting the program that wrote it.

    python -m rnn_numpy.verify CERTIFICATE WEIGHTS     or     python verify.py CERTIFICATE WEIGHTS
Exit codes: 0 accepted; 1 rejected (the message names the line); 2 the files could not be checked.
docs/rounded-proof.md explains what an accepted certificate proves.
"""

import hashlib
import json
import math
import os
import re
import struct
import sys
from fractions import Fraction
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain, product
from pathlib import Path
from typing import Any

FORMATS = {"float64": ("F64", "d", 53), "float32": ("F32", "f", 24)}
FORMS = ("rnn-bptt-reference certificate 1", "weights [0-9a-f]{64}", "dtype float(32|64)",
         "state-(bits ([1-9]|1[0-6])|real float(32|64))", "target (addition|subtraction|comparison|"
         "multiplication:[1-9][0-9]{0,8})", "states [1-9][0-9]{0,8}",
         "[0-9a-f.]+ [0-9]{1,9} [01]( [0-9]{1,9}(,[0-9]{1,9})*)+")  # fmt: skip
P, ONE = 200, 1 << 200  # fixed point: numbers in units of 2^-P


class Rejected(Exception):
    """The certificate does not prove what it says; the message names the line."""


def right_step(target: str, state: int, x: tuple[int, ...]) -> tuple[int, int]:
    """(the next state, the right bit) of the machine that the network is said to be."""
    if target == "comparison":
        return (state, state) if x[0] == x[1] else (x[0], x[0])
    if target == "subtraction":
        return int(x[0] - x[1] - state < 0), (x[0] - x[1] - state) % 2
    factor = 1 if target == "addition" else int(target.removeprefix("multiplication:"))
    return (factor * sum(x) + state) // 2, (factor * sum(x) + state) % 2


def read_weights(path: str, dtype: str) -> tuple[list[list[tuple[Fraction, ...]]], str]:
    """U, W, V as rows of exact numbers, and their hash, from a safetensors file."""
    data, (kind, letter, _) = Path(path).read_bytes(), FORMATS[dtype]
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header, matrices, raw = json.loads(data[8:start]), [], b""
    keys, entries = ("dtype", "shape", "data_offsets"), [header[name] for name in "UWV"]
    kinds, shapes, spans = ([entry[key] for entry in entries] for key in keys)
    (n, m), ends = shapes[0], [0, *chain(*sorted(spans)), len(data) - start]
    if (kinds, shapes, ends[::2]) != ([kind] * 3, [[n, m], [m, m], [m, 1]], ends[1::2]):
        must = f"{kind} of (inputs, hidden), (hidden, hidden), (hidden, 1), without gaps"
        raise ValueError(f"U, W, V must be {must}, got {kinds} of {shapes} at {spans}"[:300])
    for (rows, columns), (first, end) in zip(shapes, spans, strict=True):
        octets = data[start + first : start + end]
        raw += kind.encode() + octets
        values = map(Fraction, struct.unpack(f"<{rows * columns}{letter}", octets))
        matrices.append(list(zip(*[values] * min(columns, len(octets)), strict=True)))
    return matrices, hashlib.sha256(raw).hexdigest()


def exp_below(z: int) -> int:
    """Below exp(z), in fixed point: below exp(|z|), or above it and inverted."""
    sign, halvings = 1 if z >= 0 else -1, max(0, abs(z).bit_length() - P + 2)
    x = sign * (z >> halvings)  # rounded down, or away from 0 if z < 0, as all that follows
    total = term = ONE
    for n in range(1, 50):
        term = sign * (sign * term * x // (n << P))
        total += term
    total += 0 if z >= 0 else term  # x < 1/2: what is left out is less than the last term
    for _ in range(halvings):
        total = sign * (sign * total * total >> P)
    return total if z >= 0 else ONE * ONE // total


@cache
def certainly_below(c: int) -> int:
    """The largest z found with sigmoid(z) < c, both in fixed point; c is 2^-20 at least."""
    low, high = -64 * ONE, 64 * ONE
    while high - low > ONE >> 90:
        z = (low + high) // 2  # it is below where exp(-z) > (1 - c) / c
        low, high = (z, high) if exp_below(-z) * c > (ONE - c) * ONE else (low, z)
    return low


def rounding_error(matrix: list[tuple[Fraction, ...]], digits: int) -> int:
    """How far any evaluation of sigmoid(h M), 0 <= h <= 1, can be off: docs/parity.md."""
    gamma, exp = (Fraction(n, 2**digits - n) for n in (len(matrix), 10))  # 4 ulps, add, divide
    largest = max(sum(map(abs, column)) for column in zip(*matrix, strict=True))
    underflow = Fraction(len(matrix) + 1, 2**125)
    return math.ceil((gamma * largest / 4 + exp + underflow) * ONE)


def levels(z: int, b: int, error: int, scale: int) -> range:
    """All levels that some evaluation of sigmoid(z), z in units of 1/scale, can round to."""
    unit, z_fixed = ONE >> b + 1, z << P  # a wrong guess only makes the range wider:
    low = high = round(2**b / (1 + math.exp(-min(max(z / scale, -60), 60))))
    while low > 0 and -z_fixed > certainly_below((2 * (2**b - low) + 1) * unit - error) * scale:
        low -= 1  # sigmoid(-z) = 1 - sigmoid(z)
    while high < 2**b and z_fixed > certainly_below((2 * high + 1) * unit - error) * scale:
        high += 1
    return range(low, high + 1)


def verify(lines: list[str], weights: str) -> int:
    """Return the number of states of a certificate that holds; raise Rejected otherwise."""
    real = lines[3:4] in (["state-real float64"], ["state-real float32"])
    for n, line in enumerate(lines[: 6 if real else None] + [""] * (7 - len(lines))):
        if not re.fullmatch(FORMS[min(n, 6)], line):
            raise ValueError(f"line {n + 1} must be {FORMS[min(n, 6)]!r}, got {line[:80]!r}")
    _, wanted, dtype, bits, target, count = (line.split(" ")[1] for line in lines[:6])
    (U, W, V), found = read_weights(weights, dtype)
    if found != wanted or len(U) != 1 + (":" not in target):
        raise Rejected("line 2 or 5: it is for other weights")
    if real:
        return int(beside("verify_real").check(
            lines, (U, W, V), target, FORMATS[bits][2], sys.modules[__name__]))  # fmt: skip
    b = int(bits)
    if len(lines) != 6 + int(count):
        raise Rejected("line 6: not all states are there")
    error, said_error = (rounding_error(M, FORMATS[dtype][2]) for M in (U + W, V))
    if error << b + 2 >= ONE or 4 * said_error >= ONE:
        raise Rejected("line 4: rounding errors are larger than the steps of the state")
    scale = math.lcm(*(value.denominator for row in U + W + V for value in row)) << b
    u, w, v = ([[int(value * scale) >> b for value in row] for row in M] for M in (U, W, V))
    sure = -certainly_below(ONE // 2 - said_error) * scale  # from here on, the output is 1
    inputs = [tuple(i >> j & 1 for j in range(len(u))) for i in range(2 ** len(u))]
    states = []
    for number, line in enumerate(lines[6:], 7):
        text, task, said, *leads = line.split(" ")
        h = tuple(int(level, 16) for level in text.split("."))
        if len(h) != len(W) or max(h) > 2**b:
            raise ValueError(f"line {number} must have {len(W)} levels up to {2**b:x}")
        margin = sum(h_j * v_j for h_j, (v_j,) in zip(h, v, strict=True)) << P
        certain = margin > sure if said == "1" else -margin > sure
        if not (certain if number > 7 else not any(h) and task == "0"):
            raise Rejected(f"line {number}: not the beginning, or not always {said} there")
        states.append((h, int(task), int(said) if certain else None, leads))
    for number, (h, carried, _, leads) in enumerate(states, 7):
        from_h = [sum(map(int.__mul__, h, column)) for column in zip(*w, strict=True)]
        for x, lead in zip(inputs, leads, strict=True):
            there = {states[int(to)][:3] for to in lead.split(",")}
            z = [sum(map(int.__mul__, x, column)) << b for column in zip(*u, strict=True)]
            ranges = [levels(a + c, b, error, scale) for a, c in zip(from_h, z, strict=True)]
            needed = product(*ranges) if math.prod(map(len, ranges)) <= len(there) else [()]
            if any((h, *right_step(target, carried, x)) not in there for h in needed):
                raise Rejected(f"line {number}: input {x} does not lead to {lead} for certain")
    return len(states)


def beside(name: str) -> Any:
    """Another file of this folder, whether or not this one runs as part of a package."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    if len(argv) != 2:
        return say(0 if "--help" in argv else 2, str(__doc__))
    try:
        if sum(Path(file).stat().st_size for file in argv) >> 30:
            raise ValueError("files of more than 1 GiB")
        states = verify(Path(argv[0]).read_text("ascii").splitlines(), argv[1])
    except Rejected as reason:
        return say(1, f"rejected: {reason}")
    except Exception as error:  # whatever strangers' files can do; none of it is an answer
        return say(2, f"cannot tell: {type(error).__name__}: {error}")
    return say(0, f"accepted: {states} states")


def say(code: int, text: str) -> int:
    """Print, on standard error with code 2; returns the code, 2 if it cannot be printed."""
    stream, number = (sys.stderr, 2) if code == 2 else (sys.stdout, 1)
    try:
        print(text, file=stream or open(number, "w"), flush=True)  # noqa: SIM115
    except OSError as error:
        if stream:  # or the interpreter would fail at its end on what is still in the buffer
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if code != 2 and not isinstance(error, BrokenPipeError):  # not if the reader left
            return say(2, f"cannot write to standard output: {error.strerror}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
