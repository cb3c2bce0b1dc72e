"""Short training runs of both packages, with and without checkpoints, and their files."""

from pathlib import Path

import pytest

from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_torch import train as torch_train

Capture = pytest.CaptureFixture[str]

MAINS = {"rnn_numpy": numpy_train.main, "rnn_torch": torch_train.main}
both = pytest.mark.parametrize("package", ["rnn_numpy", "rnn_torch"])
SHORT = ["--iterations", "300", "--log-every", "100", "--bits", "5"]
SMALL = ["--iterations", "700", "--hidden", "5", "--bits", "5", "--log-every", "100"]


def bytes_of(file: Path) -> bytes:
    assert load_params(file)
    return file.read_bytes()


def run(checkpoint: Path, capsys: Capture, *more: str) -> tuple[int, str, str]:
    try:
        code = numpy_train.main([*SMALL, "--checkpoint", str(checkpoint), *more])
    except SystemExit as ended:
        code = int(str(ended.code))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err
