"""Mutated files through every loader: refused as they should be, or nothing else is understood.

Where there is a checksum, half of the files get it put right after that, as somebody would who
means it. What is accepted is used: a run is resumed, a network proved.
"""

import contextlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load

from bptt_check.commands.atomic_files import WeightsError
from profiles import NIGHTLY
from rnn_numpy import verify
from rnn_numpy.proof.certificate import certificate
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import Proved
from rnn_numpy.prove import main as prove
from rnn_numpy.storage.weights import as_safetensors, load_params
from rnn_numpy.train import main as train
from rnn_numpy.training.checkpoint import CheckpointError, packed, read
from rnn_numpy.training.many import Results, ResultsError, as_line
from rnn_numpy.training.many import train as trained
from rnn_numpy.training.recipe import Recipe, Training
from rnn_numpy.training.sgd import choose
from rnn_torch.sweep import main as sweep

pytestmark = pytest.mark.unannotated
TRAINING = ["--hidden", "3", "--bits", "3", "--iterations", "50", "--log-every", "10"]
SWEPT = Recipe(0, 3, 3, 30)
SWEPT_SUMS = {(n, tuple(trained(Recipe(n, 3, 3, 30)).exact)) for n in range(3)}


class Kind(NamedTuple):
    """A good file, and what puts a checksum right; `load` gives None for a file it refuses."""

    octets: bytes
    load: Callable[[Path], Any]
    mend: Callable[[bytes], bytes] | None = None


def quietly(command: Callable[[list[str]], int], argv: list[str]) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return command(argv)
        except SystemExit as ended:
            return int(str(ended.code))


def as_weights(file: Path) -> Any:
    try:
        params, _ = load_params(file)
    except WeightsError:
        return None
    assert quietly(prove, [str(file), "--state-bits", "2", "--limit", "99"]) in (0, 1, 2, 3)
    return [array.tobytes() for array in params]


def as_checkpoint(file: Path) -> Any:
    try:
        found = read(file)
    except CheckpointError:
        return None
    meaning = *found[:4], [a.tobytes() for a in found.params]
    assert quietly(train, [*TRAINING, "--checkpoint", str(file), "--resume"]) in (0, 1, 2)
    return meaning


def as_results(file: Path) -> Any:
    try:
        results = Results(file, [SWEPT], 1000, resume=True)
    except ResultsError:
        return None
    known = {(r.recipe.seed, tuple(r.exact)) for r in results.trained.values()}
    # A line that is missing at the end is a network that is trained again.
    return SWEPT_SUMS if known <= SWEPT_SUMS else known


def states(certificate: Path) -> Any:
    """What an accepted certificate says: each state, and where it leads at least."""
    lines = certificate.read_text("ascii").splitlines()
    fields = dict(line.split(" ", 1) for line in lines[:6])
    about = [fields["target"], int(fields["state-bits"]), int(fields["states"])]
    return about, [[int(x, 16) for x in line.split(" ")[0].split(".")] for line in lines[6:]]


def mended_safetensors(octets: bytes) -> bytes:
    """With a checksum that is right, if there is any sense in the rest."""
    try:
        header = json.loads(octets[8 : 8 + int.from_bytes(octets[:8], "little")])
        header["__metadata__"].pop("checksum", None)
        return as_safetensors(load(octets), header["__metadata__"])
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


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    folder = tmp_path_factory.mktemp("good")
    weights, proof, swept = folder / "w", folder / "c", folder / "r.jsonl"
    assert quietly(train, ["--hidden", "4", "--seed", "17", "--out", str(weights)]) == 0
    flags = ["--seeds", "0:3", "--hidden", "3", "--bits", "3", "--iterations", "30"]
    assert quietly(sweep, [*flags, "--out", str(swept)]) == 0
    training = Training(Recipe(0, 3, 3, 50), choose(None, 3))
    next(training.run(pause_every=20))
    params, _ = load_params(weights)
    verdict = explore(params, 4)
    assert isinstance(verdict, Proved)
    proof.write_text("\n".join(certificate(params, verdict)) + "\n")

    def as_certificate(file: Path) -> Any:
        return states(file) if quietly(verify.main, [str(file), str(weights)]) == 0 else None

    def as_weights_to_verify(file: Path) -> Any:
        return 0 if quietly(verify.main, [str(proof), str(file)]) == 0 else None

    octets = weights.read_bytes()
    return {
        "weights": Kind(octets, as_weights, mended_safetensors),
        "checkpoint": Kind(packed(training), as_checkpoint, mended_safetensors),
        "certificate": Kind(proof.read_bytes(), as_certificate),  # its lines are proved again
        "verified": Kind(octets, as_weights_to_verify),
        "results.jsonl": Kind(swept.read_bytes(), as_results, mended_results),
    }


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


def test_mutated_files(kinds: dict[str, Kind], tmp_path: Path) -> None:
    found, meanings = Counter[str](), {}
    for name, kind in kinds.items():
        (tmp_path / name).write_bytes(kind.octets)
        meanings[name] = kind.load(tmp_path / name)
    assert None not in meanings.values()

    # One example after the other, as many as asked for; none is looked at again.
    @settings(max_examples=20_000 if NIGHTLY else 300, phases=[Phase.generate], database=None)
    @given(st.sampled_from(list(kinds)), st.randoms(use_true_random=False), st.booleans())
    def put(name: str, rng: random.Random, mended: bool) -> None:
        kind, file = kinds[name], tmp_path / name
        mend = kind.mend if mended else None
        octets = mutated(rng, kind.octets)
        file.write_bytes(mend(octets) if mend else octets)
        got = kind.load(file)
        found["refused" if got is None else "mended" if mend else "accepted"] += 1
        assert got is None or mend or got == meanings[name]

    put()
    assert found["refused"] > 0.9 * found.total()
    assert found["accepted"] > 0
