"""Commands at a terminal: Ctrl-C once and twice, the progress bar, colours, the width."""

import contextlib
import os
import pty
import re
import signal
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bptt_check.commands import terminal
from forked import Forked
from rnn_numpy.commands import train_command
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training import recipe
from trainings import MAINS, SHORT, both

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C has its usual effect; where a shell started the tests, it might be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_trying_the_sums(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "count", interrupt)
    assert MAINS["rnn_numpy"](SHORT) == 130
    assert "stopped while trying the sums" in capsys.readouterr().out


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_stops_at_once(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def twice(*_: object, **__: object) -> None:
        remembers = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) == remembers:  # two at once may count as one
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)  # interrupted

    monkeypatch.setattr(recipe.Training, "run", twice)
    assert MAINS["rnn_numpy"](SHORT) == 130
    assert "stopped immediately" in capsys.readouterr().err


@both
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_keeps_what_was_learned(
    package: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """In a process of its own: test_checkpoints.py."""
    run = recipe.Training.run

    def interrupted(*args: Any, **named: Any) -> Iterator[Any]:
        for record in run(*args, **named):
            os.kill(os.getpid(), signal.SIGINT)
            yield record

    monkeypatch.setattr(recipe.Training, "run", interrupted)
    out = tmp_path / "w.safetensors"
    assert MAINS[package]([*SHORT, *(["--out", str(out)] * kept)]) == 130
    said = capsys.readouterr().out
    found = re.search(r"interrupted after step (\d+)", said)
    assert found is not None
    if kept:
        assert f"weights written to {out}" in said
        assert load_params(out)[1]["steps"] == found[1]
    else:
        assert "weights not written: no --out given" in said


def trained_at(standard_error: int | None) -> int:
    if standard_error is not None:
        sys.stderr = open(standard_error, "w")  # noqa: SIM115 - until the process ends
    return MAINS["rnn_numpy"](["--iterations", "3000"])


def test_progress_bar_on_a_terminal_only() -> None:
    quiet, nothing = Forked(trained_at, None).succeeded()
    assert nothing == ""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    run = Forked(trained_at, slave)
    os.close(slave)
    bar = b""
    # Reading a terminal that its last writer has closed is an error.
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            bar += chunk
    os.close(master)
    assert b"/3000 [" in bar
    assert run.succeeded()[0] == quiet


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
    line: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
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
    with open(os.devnull, "w") as log:
        assert terminal.width(log) is None
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
