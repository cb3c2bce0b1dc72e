"""What Windows lacks is hidden from a process and from those that it starts; the commands work."""

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from candidate_files import RIGHT_FILE
from forked import Forked, imported_anew
from judged import SMALL
from profiles import nightly

pytestmark = pytest.mark.unannotated

#: With a lock as msvcrt has it, which is released when its file is closed.
HIDDEN = """
import os, sys, types
for name in ("fcntl", "resource", "termios", "pty", "grp", "pwd"):
    sys.modules[name] = None
for name in ("fork", "killpg", "setsid", "getuid", "getgid", "sched_getaffinity", "O_DIRECTORY"):
    delattr(os, name)
locked = {}
def inode(descriptor):
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None
def locking(descriptor, mode, count):
    assert (mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)) == (2, 1, 1 << 40)
    file = inode(descriptor)
    if locked.get(file, descriptor) != descriptor and inode(locked[file]) == file:
        raise PermissionError(13, "Permission denied")
    locked[file] = descriptor
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
"""

START = "import numpy as np\nkept = []\ndef backward(x, y, U, W, V):\n    "
#: A file, the exit code of its check, and words of the answer.
FILES = {
    "right": (RIGHT_FILE, 0, "RIGHT"),
    "wrong": (RIGHT_FILE + "\nright = backward\ndef backward(x, y, U, W, V):\n"
              "    dU, dW, dV = right(x, y, U, W, V)\n    return dU, 2 * dW, dV\n", 1, "WRONG"),
    "keeps": (RIGHT_FILE + "\nright, kept = backward, []\ndef backward(x, y, U, W, V):\n"
              "    kept.append(W)\n    assert len(kept) < 9\n    return right(x, y, U, W, V)\n",
              0, "RIGHT"),
    "hangs": (START + "while True: pass\n", 2, "it gave no answer within 1 seconds"),
    "exits": (START + "import os; os._exit(0)\n", 2, "its process ended without an answer"),
    "once": ("import os\nos.mkdir(__file__ + '.once')\n" + START + "return U, W, V\n",
             2, "it raises FileExistsError"),
    "raises": (START + "1 / 0\n", 2, "ZeroDivisionError: division by zero (line 4)"),
}  # fmt: skip


def without_what_windows_lacks(folder: Path) -> int:
    """In a process of its own."""
    os.environ["PYTHONPATH"] = str(folder)  # for the candidates' processes
    exec(HIDDEN, {})
    check: Any = imported_anew("rnn_torch.check")
    for name, (_, code, _) in FILES.items():
        seconds = "1" if name == "hangs" else "30"
        flags = ["--timeout", seconds, "--shapes", SMALL]
        assert check.main([f"{folder / name}.py:backward", *flags]) == code, name
    textbook: Any = importlib.import_module("rnn_numpy").textbook
    assert check(textbook, shapes=SMALL).verdict == "agrees"
    for package in ("rnn_numpy", "rnn_torch"):
        train: Any = importlib.import_module(f"{package}.train")
        out, kept = (str(folder / f"{package}.{name}") for name in ("out", "kept"))
        flags = ["--iterations", "200", "--checkpoint", kept, "--checkpoint-every", "50"]
        assert train.main([*flags, "--out", out]) == 0
        assert Path(out).stat().st_size > 1000
    many: Any = importlib.import_module("rnn_numpy.training.many")
    results = many.Results(folder / "networks.jsonl", [], 1, resume=False)
    with pytest.raises(many.ResultsError, match="in use by another sweep"):
        many.Results(folder / "networks.jsonl", [], 1, resume=True)
    del results
    return 0


@nightly
def test_the_commands_work_without_what_windows_lacks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    for name, (text, _, _) in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    out, err = Forked(without_what_windows_lacks, tmp_path).succeeded()
    for name, (_, code, words) in FILES.items():
        assert words in (err if code == 2 else out), name
