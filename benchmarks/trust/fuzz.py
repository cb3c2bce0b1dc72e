"""Mutated files through every loader: no crash, no hang, nothing wrong accepted.

Hypothesis chooses the changes. Where there is a checksum, half of the files get it put right after
that, as somebody would who means it. What is accepted is used: a run is resumed, a network proved.
"""

import argparse
import contextlib
import io
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.harness import keep
from benchmarks.trust.mutations import mended_results, mended_safetensors, mutated
from bptt_check.commands.atomic_files import WeightsError
from rnn_numpy import verify
from rnn_numpy.proof.certificate import certificate
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import Proved
from rnn_numpy.prove import main as prove
from rnn_numpy.storage.weights import load_params
from rnn_numpy.train import main as train
from rnn_numpy.training.checkpoint import CheckpointError, packed, read
from rnn_numpy.training.many import Results, ResultsError
from rnn_numpy.training.recipe import Recipe, Training
from rnn_numpy.training.sgd import choose
from rnn_torch.sweep import main as sweep

#: Reads a file; returns what it understood, or None if it refused it as it should.
Loader = Callable[[Path], Any]
Mend = Callable[[bytes], bytes]
TRAINING = ["--hidden", "3", "--bits", "3", "--iterations", "50", "--log-every", "10"]
SWEEP = ["--seeds", "0:3", "--hidden", "3", "--bits", "3", "--iterations", "30"]
SWEPT = Recipe(0, 3, 3, 30)


class Kind(NamedTuple):
    """A good file, its loader, what that makes of it, and what puts a checksum right."""

    octets: bytes
    load: Loader
    meaning: Any
    mend: Mend | None


def main() -> None:
    """Run the benchmark; print what happened and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, help="(%(default)s)")
    flags = parser.parse_args()
    result = fuzz(flags.files)
    keep("fuzz", result)
    print(result)


def fuzz(count: int) -> dict[str, Any]:
    """Mutate so many files, of each kind about as many."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = originals(folder)
        found: Counter[str] = Counter()
        slowest, growth = [0.0], [0]

        # One example after the other, as many as asked for; none is looked at again.
        @seed(0)
        @settings(max_examples=count, phases=[Phase.generate], database=None, deadline=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(st.sampled_from(list(kinds)), st.randoms(use_true_random=False), st.booleans())
        def put(kind: str, rng: random.Random, mended: bool) -> None:
            said, seconds, grown = put_one(kinds[kind], folder / kind, rng, mended)
            found[f"{said}: {kind}" if said.isupper() else said] += 1
            slowest[0], growth[0] = max(slowest[0], seconds), growth[0] + grown

        put()
    return {"files": sum(found.values()), "found": dict(found), "slowest": slowest[0],
            "peak_growth_kib": growth[0]}  # fmt: skip


def put_one(kind: Kind, file: Path, rng: random.Random, mended: bool) -> tuple[str, float, int]:
    """Change a file, have it loaded: what came of it, seconds, and by how much the peak grew."""
    changed = mutated(rng, kind.octets)
    mend = kind.mend if mended else None
    if mend is not None:
        changed = mend(changed)
    file.write_bytes(changed)
    before, begin = peak(), time.perf_counter()
    crash = got = None
    try:
        got = kind.load(file)
    except Exception as error:  # what this is about
        crash = type(error).__name__
    took = (time.perf_counter() - begin, peak() - before)
    file.unlink(missing_ok=True)
    if crash is not None:
        return (f"CRASH, {crash.upper()}", *took)
    if got is None:
        return ("refused", *took)
    if mend is not None:
        return ("accepted, its checksum put right", *took)
    return ("accepted, rightly" if got == kind.meaning else "WRONG", *took)


def peak() -> int:
    """The most memory this process has had so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def originals(folder: Path) -> dict[str, Kind]:
    """A good file of each kind."""
    weights, proof = folder / "w.safetensors", folder / "c.txt"
    kept = folder / "checkpoint"
    with contextlib.redirect_stdout(io.StringIO()):
        train(["--hidden", "4", "--seed", "17", "--out", str(weights)])
        sweep([*SWEEP, "--out", str(folder / "r.jsonl")])
    training = Training(Recipe(0, 3, 3, 50), choose(None, 3))
    next(training.run(pause_every=20))
    kept.write_bytes(packed(training))
    params, _ = load_params(weights)
    verdict = explore(params, 4)
    assert isinstance(verdict, Proved)
    proof.write_text("\n".join(certificate(params, verdict)) + "\n")

    def as_weights(file: Path) -> Any:
        try:
            params, _ = load_params(file)
        except WeightsError:
            return None
        assert _quietly(prove, [str(file), "--state-bits", "2", "--limit", "99"]) in (0, 1, 2, 3)
        return [array.tobytes() for array in params]

    def as_checkpoint(file: Path) -> Any:
        try:
            found = read(file)
        except CheckpointError:
            return None
        meaning = *found[:4], [a.tobytes() for a in found.params]
        assert _quietly(train, [*TRAINING, "--checkpoint", str(file), "--resume"]) in (0, 1, 2)
        return meaning

    def as_certificate(file: Path) -> Any:
        if _quietly(verify.main, [str(file), str(weights)]) != 0:
            return None
        return _states(file)

    def as_weights_to_verify(file: Path) -> Any:
        return 0 if _quietly(verify.main, [str(proof), str(file)]) == 0 else None

    def as_results(file: Path) -> Any:
        try:
            results = Results(file, [SWEPT], 1000, resume=True)
        except ResultsError:
            return None
        # A line that is missing at the end is a network that is trained again.
        known = {(r.recipe.seed, tuple(r.exact)) for r in results.trained.values()}
        return every if known <= every else known

    swept = Results(folder / "r.jsonl", [SWEPT], 1000, resume=True).trained.values()
    every = {(r.recipe.seed, tuple(r.exact)) for r in swept}
    assert {seed for seed, _ in every} == {0, 1, 2}
    kinds: dict[str, tuple[Path, Loader, Mend | None]] = {
        "weights.safetensors": (weights, as_weights, mended_safetensors),
        "checkpoint.safetensors": (kept, as_checkpoint, mended_safetensors),
        "certificate.txt": (proof, as_certificate, None),  # its own lines are proved again
        "verified.safetensors": (weights, as_weights_to_verify, None),
        "results.jsonl": (folder / "r.jsonl", as_results, mended_results),
    }
    return {kind: Kind(file.read_bytes(), load, load(file), mend)
            for kind, (file, load, mend) in kinds.items()}  # fmt: skip


def _quietly(command: Callable[[list[str]], int], argv: list[str]) -> int:
    """The exit code of a command."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return command(argv)
        except SystemExit as ended:
            return int(str(ended.code))


def _states(proof: Path) -> Any:
    """What an accepted certificate says: each state, and where it leads at least."""
    lines = proof.read_text("ascii").splitlines()
    fields = dict(line.split(" ", 1) for line in lines[:6])
    about = [fields["target"], int(fields["state-bits"]), int(fields["states"])]
    return [
        *about,
        [tuple(int(x, 16) for x in line.split(" ")[0].split(".")) for line in lines[6:]],
    ]


if __name__ == "__main__":
    main()
