"""Certificates of networks as trained that must be accepted, and those that must be rejected."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import NIGHTLY
from proofs_on_disk import Files, run, write
from real_proofs import FORGERIES, copier, forged
from rnn_numpy import Params, verify, verify_real
from rnn_numpy.proof.certificate import weights_hash
from rnn_numpy.real_proof.certificate import real_certificate
from rnn_numpy.real_proof.verdict import Proved, prove_real
from rnn_numpy.tasks.targets import multiplication

pytestmark = pytest.mark.unannotated
Ask = Callable[[Params, list[str]], tuple[int, str]]


def proof_of(params: Params, dtype: str) -> list[str]:
    verdict = prove_real(params, multiplication(1), dtype)
    assert isinstance(verdict, Proved)
    return list(real_certificate(params, verdict))


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return proof_of(copier(), "float64")


@pytest.fixture(scope="module")
def files(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write(tmp_path_factory.mktemp("copier"), copier(), lines)


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The checker's exit code and text for these weights and lines."""
    return lambda params, lines: run(write(tmp_path, params, lines), capsys)


def test_proofs_are_accepted(lines: list[str], ask: Ask) -> None:
    """Float32 with more room, also for float64 weights that are converted."""
    states = lines[5].split(" ")[1]
    assert ask(copier(), lines) == (0, f"accepted: {states} states\n")
    for dtype in ("float32", "float64"):
        in_float32 = proof_of(copier(dtype), "float32")
        assert in_float32[3] == "state-real float32"
        assert ask(copier(dtype), in_float32)[0] == 0
    code, text = ask(copier(), [*lines[:3], "state-real float32", *lines[4:]])
    assert (code, text[:8]) == (1, "rejected")  # the early sets have no room for that


@given(kind=st.sampled_from(FORGERIES), seed=st.integers(0, 2**32 if NIGHTLY else 2**10))
def test_forgeries_are_rejected(kind: str, seed: int, lines: list[str], files: Files) -> None:
    with pytest.raises((verify.Rejected, ValueError, IndexError)):
        verify.verify(forged(lines, kind, seed), str(files[1]))


def test_weights_changed_so_that_a_step_leads_elsewhere(lines: list[str], ask: Ask) -> None:
    U, W, V = copier()
    for changed in (Params(U * 1.02, W, V), Params(U, W - 0.05, V), Params(U, W, -V)):
        assert ask(changed, lines) == (1, "rejected: line 2 or 5: it is for other weights\n")
        code, text = ask(changed, [lines[0], f"weights {weights_hash(changed)}", *lines[2:]])
        assert (code, text[:15]) == (1, "rejected: line "), text
        assert "does not lead to" in text or "not always" in text


@pytest.mark.parametrize(("number", "new"), [
    (4, "state-real float16"), (4, "state-real"), (5, "target multiplication:2"),
    (5, "target addition"), (6, "states 5"), (6, "states 999999999"),
    (7, ""), (8, "0.0.0 0 0 1:5"), (8, "metric 0"),
])  # fmt: skip
def test_lines_that_are_malformed_or_of_another_proof(
    number: int, new: str, lines: list[str], ask: Ask
) -> None:
    code, text = ask(copier(), [*lines[: number - 1], new, *lines[number:]])
    assert code in (1, 2)
    assert text.count("\n") == 1


def test_the_checker_runs_without_the_package(files: Files) -> None:
    """Both of its files run without the package, and have at most 250 lines each."""
    assert len(Path(verify_real.__file__).read_text().splitlines()) <= 250
    command = [sys.executable, "-I", "-S", verify.__file__, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:9]) == (0, "accepted:")


@given(seed=st.integers(0, 2**32 - 1), hidden=st.integers(1, 6))
def test_the_checkers_test_of_positive_definite_matrices(seed: int, hidden: int) -> None:
    """It rejects every other matrix, and accepts every one that is not nearly singular."""
    rng = np.random.default_rng(seed)
    square = rng.normal(size=(hidden, hidden)) * 10.0 ** rng.integers(-6, 6, size=(hidden, 1))
    scale = np.sqrt(np.diag(square @ square.T))
    for shift, wanted in ((0.01, True), (-2.0, False)):
        M = square @ square.T + shift * np.diag(scale**2)
        integers = [[int(x * 2**60) for x in row] for row in (M + M.T) / 2]
        assert verify_real.positive(integers) == wanted


def test_the_reach_of_a_metric() -> None:
    """It is slightly above sqrt(w P^-1 w)."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5, 5))
    P, w = np.rint((A @ A.T + np.eye(5)) * 2**30), np.rint(rng.normal(size=5) * 2**60)
    G = verify_real.factor((P / 2**30).tolist())
    assert G is not None
    reach = verify_real.reach_of([[int(x) for x in row] for row in P], G, [int(x) for x in w])
    exact = np.sqrt((w / 2**60) @ np.linalg.solve(P / 2**30, w / 2**60))
    assert 0 < reach / 2**40 - exact < 1e-10
