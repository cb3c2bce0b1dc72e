"""Triton kernels in Triton's interpreter: run in a process of its own, which imports it anew."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bptt_check.testing import triton_on_cpu


@pytest.mark.skipif(find_spec("triton") is None, reason="needs the extra triton")
@pytest.mark.parametrize(
    ("wrong", "verdict", "named"),
    [
        (0, "agrees", []),
        (1, "disagrees", ["the path a_t * h -> h_(t-1) is multiplied by a_t of the next step, "
                          "zero at the last"]),
    ],
)  # fmt: skip
def test_the_gradients_of_a_kernel(wrong: int, verdict: str, named: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("triton_scan.py")), str(wrong)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    hooks = ["h"]  # of the first configuration
    assert json.loads(done.stdout) == {"verdict": verdict, "named": named, "hooks": hooks}


def test_triton_must_not_have_been_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", sys)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(RuntimeError, match="must be called before triton is imported"):
        triton_on_cpu()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton.runtime.autotuner", None)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(ModuleNotFoundError, match="pip install triton"):
        triton_on_cpu()
