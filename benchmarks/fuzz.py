"""Mutated files through every loader: no crash, no hang, nothing wrong accepted."""

import argparse
import contextlib
import io
import json
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import keep
from rnn_numpy import verify
from rnn_numpy.certificate import certificate
from rnn_numpy.checkpoints import CheckpointError, load_checkpoint
from rnn_numpy.explore import explore
from rnn_numpy.files import WeightsError, load_params, save_params
from rnn_numpy.recipe import Recipe
from rnn_numpy.train import main as train
from rnn_torch.results import Journal, ResultsError
from rnn_torch.sweep import main as sweep

#: Reads a file; returns what it understood, or None if it refused it as it should.
Loader = Callable[[Path], Any]


def main() -> None:
    """Run the benchmark; print what happened and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="(%(default)s)")
    flags = parser.parse_args()
    print(fuzz(flags.files))


def fuzz(count: int) -> dict[str, Any]:
    """Mutate each kind of file so many times in all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loaders = _originals(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found: Counter[str] = Counter()
        slowest = 0.0
        for number in range(count):
            kind = list(loaders)[number % len(loaders)]
            original, load, meaning = loaders[kind]
            changed = mutated(random.Random(number), original)
            file = folder / f"mutated{Path(kind).suffix}"
            file.write_bytes(changed)
            begin = time.perf_counter()
            try:
                got = load(file)
            except Exception as error:  # what this is about
                found[f"crash: {kind}: {type(error).__name__}"] += 1
                got = None
            slowest = max(slowest, time.perf_counter() - begin)
            if got is None:
                found["refused"] += 1
            else:
                found["accepted, rightly" if got == meaning else f"WRONG: {kind}"] += 1
            file.unlink(missing_ok=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    result = {"files": count, "found": dict(found), "slowest": slowest, "peak_growth_kib": peak}
    keep("fuzz", result)
    return result


def mutated(rng: random.Random, octets: bytes) -> bytes:
    """One to three changes: bits, bytes, pieces cut out, doubled, swapped, or numbers made huge."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(octets))
        end = min(len(octets), at + rng.randrange(1, 64))
        before, piece, after = octets[:at], octets[at:end], octets[end:]
        flipped = bytes([piece[0] ^ 1 << rng.randrange(8)]) + piece[1:]
        wild = rng.choice([b"-", b"[", b"{", b"\0", b"nan", b"1e999", b"9" * 19, b"0"])
        pieces = [b"", piece + piece, flipped, rng.randbytes(len(piece)), wild, wild + piece]
        octets = rng.choice(
            [before, after + piece + before, *(before + other + after for other in pieces)]
        )
        octets = octets or b"x"
    return octets


def _originals(folder: Path) -> dict[str, tuple[bytes, Loader, Any]]:
    """A good file of each kind, its loader, and what that makes of it."""
    weights, proof = folder / "w.safetensors", folder / "c.txt"
    with contextlib.redirect_stdout(io.StringIO()):
        train(["--hidden", "4", "--seed", "17", "--out", str(weights)])
        train(["--hidden", "3", "--bits", "3", "--iterations", "50", "--log-every", "10",
               "--checkpoint", str(folder / "checkpoints")])  # fmt: skip
        sweep(["--seeds", "0:3", "--hidden", "3", "--bits", "3", "--iterations", "30",
               "--out", str(folder / "r.jsonl")])  # fmt: skip
    params, _ = load_params(weights)
    proof.write_text("\n".join(certificate(params, explore(params, 4))) + "\n")
    plain = folder / "plain.safetensors"
    save_params(plain, params, {"recipe": json.dumps({"seed": 17})})

    def as_weights(file: Path) -> Any:
        try:
            return [array.tobytes() for array in load_params(file)[0]]
        except WeightsError:
            return None

    def as_checkpoint(file: Path) -> Any:
        try:
            found = load_checkpoint(file)
        except CheckpointError:
            return None
        return [a.tobytes() for a in found.params], found.run, found.engine, str(found.generator)

    def as_certificate(file: Path) -> Any:
        return _quietly([str(file), str(weights)], file)

    def as_weights_to_verify(file: Path) -> Any:
        return _quietly([str(proof), str(file)], proof)

    def as_results(file: Path) -> Any:
        try:
            results = Journal(str(file), resume=True).results
        except ResultsError:
            return None
        # A line that is missing at the end is a network that is trained again.
        known = {(r.recipe.seed, tuple(r.exact)) for r in results}
        return every if known <= every else known

    checkpoint = next((folder / "checkpoints").glob("step-*"))
    every = {(r.recipe.seed, tuple(r.exact))
             for r in Journal(str(folder / "r.jsonl"), resume=True).results}  # fmt: skip
    assert {Recipe(seed=s).seed for s in range(3)} == {seed for seed, _ in every}
    kinds: dict[str, tuple[Path, Loader]] = {
        "weights.safetensors": (plain, as_weights),
        "checkpoint.safetensors": (checkpoint, as_checkpoint),
        "certificate.txt": (proof, as_certificate),
        "verified.safetensors": (weights, as_weights_to_verify),
        "results.jsonl": (folder / "r.jsonl", as_results),
    }
    return {kind: (file.read_bytes(), load, load(file)) for kind, (file, load) in kinds.items()}


def _quietly(argv: list[str], proof: Path) -> Any:
    """What an accepted certificate says: each state, and where it leads at least."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if verify.main(argv) != 0:
            return None
    lines = proof.read_text("ascii").splitlines()
    fields = dict(line.split(" ", 1) for line in lines[:6])
    about = [fields["target"], int(fields["state-bits"]), int(fields["states"])]
    return [
        *about,
        [tuple(int(x, 16) for x in line.split(" ")[0].split(".")) for line in lines[6:]],
    ]


if __name__ == "__main__":
    main()
