"""Hostile and broken files: each gives exit code 2, or the right verdict."""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from candidate_files import RIGHT_FILE
from forked import Forked
from profiles import nightly
from rnn_torch import check

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Capture = pytest.CaptureFixture[str]

# What a file may do instead of answering, and the words for it.
START = "import numpy as np\ndef backward(x, y, U, W, V):\n    "

BAD_FILES = {
    "def backward(x, y, U, W, V)\n": "raises SyntaxError",
    "import no_such_module\n": "named 'no_such_module' (line 1); --definitions-only skips imports",
    "import sys; sys.exit(0)\n": "raises SystemExit: 0",
    "import os; os._exit(0)\n": "its process ended without an answer",
    "backward = 3\n": "has no function 'backward'",
    START + "return U.T, W, V": "transposed?",
    START + "1 / 0": "raises ZeroDivisionError: division by zero (line 3)",
    START + "import sys; sys.exit(3)": "raises SystemExit: 3",
    START + "import ctypes; ctypes.string_at(0)": "it was killed by SIGSEGV",
    START + "np.ones(100 << 30)": "MemoryError",
    START + "import tempfile\n    with tempfile.TemporaryFile() as f:\n"
    "        f.seek(2 << 30)\n        f.write(b'flood')": "raises OSError: [Errno 27] File too",
    START + "def f(): f()\n    f()": "raises RecursionError",
    START + "import os; os.kill(os.getppid(), 9)": "",
    START + "import time; time.sleep(99)": "it gave no answer within 1 seconds",
    START + "input()": "raises EOFError",
    START + "return (U,) * 1000000": "got tuple of 1000000",
    "import os\nwhile True: os.write(2, b'noise' * 1000)\n": "it gave no answer within 1 seconds",
    "import sys; sys.modules.clear()\n" + START + "return 1": "",
    "import os; os.fork = None\n" + START + "return U, W, V": "its process ended without an answer",
    START
    + "import signal\n    signal.signal(14, lambda *a: None)\n    signal.setitimer(0, 1e-4, 1e-4)\n"
    "    while 1: signal.pause()": "it gave no answer within 1 seconds",
    START + "import resource\n    its = int(open('/proc/self/statm').read().split()[0]) << 12\n"
    "    resource.setrlimit(9, (its + (8 << 20),) * 2)\n    np.ones(1 << 22)": "Memory",
    START + "return [np.array('a', object)] * 3": "dU must be an array of floating-point",
}
#: An answer of its own on the pipe, of which one part is something else.
ANSWERS = (
    START
    + """import json, os, struct
    from safetensors.numpy import save
    fields = {"impure": [], "bits": 64, "loss": None, "others": [], "unnamed": [], "placed": []}
    fields |= {"set_globals": [], "forward": []}
    arrays = {f"{w}.{n}": a * 0 for w in ("first", "second") for n, a in zip("UWV", (U, W, V))}
    frames = [json.dumps(fields | FIELDS).encode(), save(arrays)]
    for frame in CHANGED:
        for pipe in range(3, 9):
            try:
                os.write(pipe, struct.pack("<Q", len(frame)) + frame)
            except OSError:
                pass
    os._exit(77)
"""
)
BFLOAT = '{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
BAD_FILES |= {
    ANSWERS.replace("FIELDS", fields).replace("CHANGED", frames): "an answer that cannot be decoded"
    for fields, frames in (
        ("{'impure': 5}", "frames"),
        ("{'bits': []}", "frames"),
        ("{}", "[b'[' * 200000]"),
        ("{}", f"[frames[0], struct.pack('<Q', {len(BFLOAT)}) + b'{BFLOAT}0000']"),
    )
}
#: Each ends like one of these, and is asked at night.
MORE_FILES = {
    "raise RuntimeError('at import')\n": "raises RuntimeError: at import (line 1)",
    "def forward(): pass\n": "has no function 'backward'; it has forward",
    "def backward(x, y): pass\n": "it takes (x, y), but does not use U, W, V",
    START + "import os; os._exit(0)": "it left the process with exit code 0",
    START + "import os; os.kill(os.getpid(), 9)": "it was killed by SIGKILL",
    START + "bytearray(100 << 30)": "raises MemoryError",
    START + "raise MemoryError": "raises MemoryError: no message (line 3)",
    START + "import os; os.closerange(0, 100)": "it left the process with exit code 1",
    START + "import signal\n    signal.pthread_sigmask(0, range(1, 65))\n"
    "    while 1: signal.pause()": "within 1 s",
    START + "import threading; threading.Event().wait()": "it gave no answer within 1 seconds",
    START + "return U[:0], W, V": "dU must have U's shape",
    START + "U = type('E', (Exception,), {'__str__': lambda s: 1 / 0}); raise U": "",
    "import os\nfor _ in range(9): os.fork() or os.setsid()\n" + START + "return U, W, V": "",
    "import os\nos.execv('/bin/true', ['true'])\n": "its process ended without an answer",
    "import builtins; builtins.len = None\n" + START + "return 1": "",
    "import json; json.dumps = None\n" + START + "return 1": "",
    "import numpy as n; n.array = None\n" + START + "return U, W, V": "",
    "def __getattr__(name): raise SystemExit\n": "raises SystemExit",
    START + "import threading\n    def spin():\n        while 1: 0\n"
    "    [threading.Thread(target=spin).start() for _ in range(50)]": "no answer within 1 seconds",
    START + "import ctypes; ctypes.CDLL(None).abort()": "it was killed by SIGABRT",
    START + "import os; os.dup2(os.open('/dev/full', 1), 1)\n"
    "    print('x' * 9999, flush=True)": "raises OSError: [Errno 28] No space left on device",
}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *BAD_FILES.items(),
        *(pytest.param(*its, marks=nightly) for its in MORE_FILES.items()),
    ],
    ids=range(len(BAD_FILES) + len(MORE_FILES)),
)
def test_files_that_cannot_be_checked(
    text: str, says: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    # A second also has to do for starting the process, which is little where tests run beside.
    seconds = 1 if "within 1" in says or not says else 30
    begin = time.monotonic()
    assert check.main([f"{file}:backward", "--timeout", str(seconds)]) == 2
    assert time.monotonic() - begin < 10 * (seconds + 9)  # it does not hang
    printed = capsys.readouterr()
    assert says in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_what_was_answered_is_judged_if_the_process_ends(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import os; os.fork = lambda: 0\n" + START + "return U, W, V")
    assert check.main([f"{file}:backward", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["problems"]) == ("disagrees", 2)
    assert document["unanswered"][0]["why"] == "its process ended without an answer"
    assert document["conditions"] == []  # no size is blamed


def test_nothing_is_left_behind(tmp_path: Path, capsys: Capture) -> None:
    """Not even nine generations of processes in their own sessions, outside the process group."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import os, sys, time\n"
        "def backward(x, y, U, W, V):\n"
        "    for _ in range(5):\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        f"            open({str(tmp_path)!r} + f'/pid-{{os.getpid()}}', 'w').close()\n"
        "    time.sleep(100)\n"
    )
    assert check.main([f"{file}:backward", "--timeout", "2"]) == 2
    assert "it gave no answer within 2 seconds" in capsys.readouterr().err
    assert len(list(tmp_path.glob("pid-*"))) == 31
    assert not running_soon(str(file))


MISCHIEF = """
np.exp, kept = np.sin, np.exp
def sigmoid(z):
    return 1 / (1 + kept(-z))
import os, sys
os.chdir('/')
print('noise' * 100000)
sys.stdout.close()
os.write(1, b'noise' * 1000)
np.seterr(divide='raise', invalid='raise')
"""


def test_a_right_file_that_changes_its_process_is_right(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "mine.py"
    file.write_text(RIGHT_FILE + MISCHIEF)
    assert check.main([f"{file}:backward"]) == 0
    assert "noise" not in capsys.readouterr().out


@pytest.fixture(scope="module")
def enclosed() -> None:
    """A check in a PID namespace, where the system allows one."""
    ends = "import os; from bptt_check.process.limits import enclose; enclose(); print(os.getpid())"
    done = subprocess.run([sys.executable, "-c", ends], capture_output=True, check=True, text=True)
    if int(done.stdout) > 9:
        pytest.skip("no namespaces of processes here")


# What would end or outlive the command, if its file were not alone in its namespace.
ESCAPES = {
    "killing its parent": "os.kill(os.getppid(), 9)",
    "killing everything": "os.kill(-1, 9)",
    "clearing its environment": "if os.fork() == 0:\n    os.setsid()\n"
    "    os.execve('/bin/sh', ['sh', '-c', ': {marker}; sleep 1000'], {{}})",
    "always another process": "if os.fork() == 0:\n    os.setsid()\n    while True:\n"
    "        os.fork() and os._exit(0)",
}


@pytest.mark.usefixtures("enclosed")
@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES.keys())
def test_what_a_file_cannot_do_in_its_pid_namespace(escape: str, tmp_path: Path) -> None:
    file, marker = tmp_path / "mine.py", f"left-over-{time.monotonic_ns()}"
    file.write_text(
        f"{RIGHT_FILE}\nimport os\nassert os.getpid() < 9\n"
        f"try:\n{indented(escape.format(marker=marker))}\nexcept ProcessLookupError:\n    pass\n"
    )
    said, _ = Forked(check.main, [f"{file}:backward"]).succeeded()
    assert said.startswith("RIGHT")
    assert not running(marker, str(file))


@pytest.mark.usefixtures("enclosed")
def test_a_killed_command_leaves_nothing(tmp_path: Path) -> None:
    file, begun = tmp_path / "mine.py", tmp_path / "begun"
    file.write_text(f"open({str(begun)!r}, 'w').close()\nwhile True: pass\n")
    command = Forked(check.main, [f"{file}:backward"])
    while not begun.exists():
        assert command.poll() is None
        time.sleep(0.01)
    assert running(str(file))
    command.send_signal(signal.SIGKILL)
    command.ended()
    assert not running_soon(str(file))


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def running(*words: str) -> bool:
    """Whether some process has one of these texts in its command line."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(process.read_bytes())
    return any(word.encode() in line for line in lines for word in words)


def running_soon(word: str) -> bool:
    """Whether it runs a moment later, too: a killed process needs a moment to end."""
    deadline = time.monotonic() + 50
    while (there := running(word)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return there
