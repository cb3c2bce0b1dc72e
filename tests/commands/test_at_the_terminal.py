"""Both commands at a terminal: Ctrl-C once and twice, the progress bar, a closed pipe."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from bptt_check.commands import terminal
from rnn_numpy.commands import train_command
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training import recipe
from trainings import MAINS, SHORT


def test_ctrl_c_while_trying_the_sums(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "count", interrupt)
    assert MAINS["rnn_numpy"](SHORT) == 130
    assert "stopped while trying the sums" in capsys.readouterr().out


def test_a_second_ctrl_c_stops_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice(*_: object, **__: object) -> None:
        remembers = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) == remembers:  # two at once may count as one
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)  # interrupted

    monkeypatch.setattr(recipe.Training, "run", twice)
    # Where a shell started the tests in the background, Ctrl-C would be ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert MAINS["rnn_numpy"](SHORT) == 130
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped immediately" in capsys.readouterr().err


@pytest.mark.parametrize(("package", "kept"), [("rnn_torch", True), ("rnn_numpy", False)])
def test_ctrl_c_keeps_what_was_learned(package: str, kept: bool, tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    command = [sys.executable, "-u", "-m", f"{package}.train", "--iterations", "100000000"]
    command += ["--bits", "4", "--log-every", "100", *(["--out", str(out)] * kept)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().lstrip().startswith("200 "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    found = re.search(r"interrupted after step (\d+)", rest)
    assert found is not None
    if kept:
        assert f"weights written to {out}" in rest
        assert load_params(out)[1]["steps"] == found[1]
    else:
        assert "weights not written: no --out given" in rest


def test_a_closed_pipe_does_not_stop_the_training(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    command = f"{sys.executable} -m rnn_numpy.train {' '.join(SHORT)} --out {out} | head -n 1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("seed 0")
    deadline = time.monotonic() + 30  # the shell waits for head alone
    while not out.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert load_params(out)[1]["steps"] == "300"


def test_progress_bar_on_a_terminal_only() -> None:
    command = [sys.executable, "-m", "rnn_numpy.train", "--iterations", "3000"]
    quiet = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert quiet.stderr == ""

    terminal, standard_error = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=standard_error) as process:
        os.close(standard_error)
        bar = b""
        # Reading a terminal that its last writer has closed is an error.
        with contextlib.suppress(OSError):
            while chunk := os.read(terminal, 4096):
                bar += chunk
        os.close(terminal)
        printed, _ = process.communicate(timeout=60)
    assert b"/3000 [" in bar
    assert printed.decode() == quiet.stdout


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("RIGHT: mine", "\x1b[32mRIGHT\x1b[0m: mine"),
        ("WRONG: mine\nRIGHT", "\x1b[31mWRONG\x1b[0m: mine\nRIGHT"),
        ("   20000  refuted, as trained", "   20000  \x1b[31mrefuted\x1b[0m, as trained"),
        ("gave up: no proof", "\x1b[33mgave up\x1b[0m: no proof"),
        ("proven", "proven"),
        ("   1000   3.5086", "   1000   3.5086"),
    ],
)
def test_verdicts_are_coloured_only_on_a_terminal(
    line: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    master, slave = pty.openpty()
    with open(slave, "w") as screen, open(master, "rb", buffering=0) as seen:
        monkeypatch.delenv("NO_COLOR", raising=False)
        for variable, value, expected in (
            ("TERM", "xterm", shown), ("TERM", "dumb", line), ("NO_COLOR", "1", line)
        ):  # fmt: skip
            with monkeypatch.context() as changed:
                changed.setenv("TERM", "xterm")
                changed.setenv(variable, value)
                changed.setattr(sys, "stdout", screen)
                terminal.say(line)
            said = b""
            while said.count(b"\n") <= expected.count("\n"):  # one read may end anywhere
                said += seen.read(1000)
            assert said.decode().replace("\r\n", "\n") == f"{expected}\n"
    terminal.say(line)
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize(("columns", "width"), [(80, 80), (20, 40), (200, 100), (0, None)])
def test_text_has_the_width_of_the_terminal(
    columns: int, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with open(slave, "w") as screen, open(master, "rb", buffering=0) as seen:
        assert terminal.width(screen) == width
        monkeypatch.setattr(sys, "stderr", screen)
        words = "CANNOT CHECK mine.py: " + "word " * 40
        terminal.complain(words.strip())
        said = b""
        while said.split() != words.encode().split():
            said += seen.read(1000)
        assert len(said.splitlines()) == (1 if width is None else -(-len(words) // (width - 4)))


def test_a_file_has_no_width(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        assert terminal.width(log) is None
