"""A certificate and its weights as files, and the checker's answer."""

from pathlib import Path

import pytest

from rnn_numpy import Params, verify
from rnn_numpy.storage.weights import save_params

Files = tuple[Path, Path]


def write(folder: Path, params: Params, lines: list[str]) -> Files:
    proof, weights = folder / "proof.txt", folder / "weights.safetensors"
    save_params(weights, params, {})
    proof.write_text("\n".join(lines) + "\n")
    return proof, weights


def run(files: Files, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = verify.main([str(file) for file in files])
    said = capsys.readouterr()
    return code, said.out + said.err
