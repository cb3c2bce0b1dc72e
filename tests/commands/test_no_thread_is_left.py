"""No thread is alive when a command returns: if the interpreter ends before it, it may abort."""

import importlib
import threading
from pathlib import Path
from typing import Any

import pytest

from candidate_files import RIGHT_FILE
from forked import Forked

pytestmark = pytest.mark.few
HANGS = "def backward(x, y, U, W, V):\n    while True: pass\n"
COMMANDS = {
    "right": (0, "rnn_torch.check right.py:backward"),
    "wrong": (1, "rnn_torch.check examples/wrong_transpose.py:backward --shapes time=4"),
    "hangs": (2, "rnn_torch.check hangs.py:backward --timeout 1"),
    "trains": (0, "rnn_torch.train --iterations 100"),
}


def threads_after(module: str, argv: list[str], code: int) -> int:
    """The number of threads beside the main one after a command with this exit code."""
    command: Any = importlib.import_module(module)
    assert command.main(argv) == code
    return len(threading.enumerate()) - 1


@pytest.mark.parametrize("name", COMMANDS)
def test_no_thread_is_left(name: str, tmp_path: Path) -> None:
    code, command = COMMANDS[name]
    for file, text in (("right.py", RIGHT_FILE), ("hangs.py", HANGS)):
        (tmp_path / file).write_text(text)
        command = command.replace(f" {file}", f" {tmp_path / file}")
    module, *argv = command.split()
    Forked(threads_after, module, argv, code).succeeded()
