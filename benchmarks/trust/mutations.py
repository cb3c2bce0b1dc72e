"""Changes of files, and checksums put right afterwards."""

import contextlib
import json
import random

import numpy as np
from safetensors.numpy import load

from rnn_numpy.storage.weights import as_safetensors
from rnn_numpy.training.many import as_line


def mutated(rng: random.Random, octets: bytes) -> bytes:
    """One to three changes: bits, bytes, pieces cut out, doubled, swapped, or numbers made huge."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(octets))
        end = min(len(octets), at + rng.randrange(1, 64))
        before, piece, after = octets[:at], octets[at:end], octets[end:]
        flipped = bytes([piece[0] ^ 1 << rng.randrange(8)]) + piece[1:]
        wild = rng.choice([b"-", b"[", b"{", b"\0", b"nan", b"1e999", b"9" * 19, b"0"])
        noise = bytes(rng.randrange(256) for _ in piece)
        pieces = [b"", piece + piece, flipped, noise, wild, wild + piece]
        octets = rng.choice(
            [before, after + piece + before, *(before + other + after for other in pieces)]
        )
        octets = octets or b"x"
    return octets


def contents(octets: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata, without its checksum, of a safetensors file."""
    header = json.loads(octets[8 : 8 + int.from_bytes(octets[:8], "little")])
    metadata = header["__metadata__"]
    metadata.pop("checksum", None)
    return load(octets), metadata


def mended_safetensors(octets: bytes) -> bytes:
    """With a checksum that is right, if there is any sense in the rest."""
    try:
        return as_safetensors(*contents(octets))
    except Exception:  # whatever it is that is wrong with it, it stays so
        return octets


def mended_results(octets: bytes) -> bytes:
    """With checksums that are right in all lines that are JSON."""
    lines = octets.splitlines()
    for number, line in enumerate(lines):
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            fields = json.loads(line)
            for name in ("format", "crc32"):
                fields.pop(name, None)
            lines[number] = as_line(fields).rstrip()
    return b"\n".join(lines) + b"\n"
