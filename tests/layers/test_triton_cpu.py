"""Triton kernels in Triton's interpreter: run in a process of its own, which imports it anew."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bptt_check.testing import triton_on_cpu

ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs the extra triton")


def run(wrong: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("triton_scan.py")), wrong]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@needs_triton
def test_the_gradients_of_a_kernel_are_right() -> None:
    hooks = ["h"]  # of the first configuration
    assert run("0") == {"verdict": "agrees", "named": [], "hooks": hooks}


@needs_triton
def test_a_gate_of_another_step_is_named() -> None:
    words = "the path a_t * h -> h_(t-1) is multiplied by a_t of the next step, zero at the last"
    assert run("1") == {"verdict": "disagrees", "named": [words], "hooks": ["h"]}


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
