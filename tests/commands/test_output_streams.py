"""Commands whose output cannot be written: the work is finished, and the exit code is right."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bptt_check.commands import terminal
from rnn_numpy import prove, verify
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_torch import add, check, sweep
from rnn_torch import train as torch_train

Capture = pytest.CaptureFixture[str]
pytestmark = [pytest.mark.unannotated, pytest.mark.few, pytest.mark.verdict]
EXAMPLES = Path(__file__).parents[2] / "examples"
ADDER, PROOF = (str(EXAMPLES / f"smallest-adder.{kind}") for kind in ("safetensors", "certificate"))
TRAIN = ["--iterations", "200", "--bits", "4", "--log-every", "50", "--out", "kept"]
SWEEP = ["--seeds", "0:2", "--iterations", "20", "--bits", "3", "--out", "kept.jsonl"]

#: Each command, what it leaves, and its exit code where it can print.
COMMANDS: dict[str, tuple[Callable[..., int], list[str], list[str], int]] = {
    "rnn_numpy.train": (numpy_train.main, [*TRAIN, "--checkpoint", "folder"], ["kept"], 0),
    "rnn_torch.train": (torch_train.main, [*TRAIN, "--json"], ["kept"], 0),
    "check": (check.main, ["right.py:backward", "--html", "page.html"], ["page.html"], 0),
    "check, wrong": (check.main, ["wrong.py:backward", "--json"], [], 1),
    "check, not to be checked": (check.main, ["right.py:none", "--markdown"], [], 2),
    "prove": (prove.main, [ADDER, "--state-bits", "2", "--certificate", "kept"], ["kept"], 0),
    "prove, gave up": (prove.main, [ADDER, "--state-bits", "2", "--limit", "3"], [], 3),
    "add": (add.main, [ADDER, "2", "3"], [], 0),
    "sweep": (sweep.main, SWEEP, ["kept.jsonl"], 0),
    "verify": (verify.main, [PROOF, ADDER], [], 0),
    "verify --help": (verify.main, ["--help"], [], 0),
}
#: One of each kind: without a page, with one, with an exit code of its own.
SOME = ["rnn_numpy.train", "check", "prove, gave up"]
#: What is said where standard output cannot be written.
WHY = {"full": ["No space left on device"], "closed": ["Bad file descriptor"], "no reader": []}


def exit_code(name: str) -> int:
    main, argv, _, _ = COMMANDS[name]
    try:
        return main(argv)
    except SystemExit as ended:
        return int(str(ended.code))


def assert_kept(name: str) -> None:
    for file in COMMANDS[name][2]:
        assert Path(file).stat().st_size > 0
    if name == "prove":
        assert Path("kept").read_text() == Path(PROOF).read_text()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("right.py").write_text(
        "from rnn_numpy.elman_network.textbook import textbook as backward\n"
    )
    Path("wrong.py").write_text(
        "from rnn_numpy.elman_network.textbook import textbook\n\n\n"
        "def backward(*arrays):\n"
        "    return [2 * gradient for gradient in textbook(*arrays)]\n"
    )
    return tmp_path


def needs_a_full_device() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")


@contextmanager
def broken(how: str) -> Iterator[Any]:
    """A stream that cannot be written; it is flushed at its end, as by the interpreter."""
    if how == "closed":
        yield None
        return
    if how == "full":
        needs_a_full_device()
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, writer = os.pipe()
        os.close(reader)
    with open(writer, "w") as stream:
        yield stream
        stream.flush()


@pytest.mark.parametrize(
    ("how", "name"), [(how, n) for how in WHY for n in (SOME if how == "closed" else COMMANDS)]
)
def test_standard_output_that_cannot_be_written(
    how: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """If the reader exits early, the code is that of the verdict: it does not depend on timing."""
    # verify looks at the descriptor, which pytest has: see test_exit_codes_seen_by_a_shell.
    with broken(how) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert exit_code(name) == (COMMANDS[name][3] if how == "no reader" else 2)
    said = capsys.readouterr().err.splitlines()
    assert [x.partition("cannot write to standard output: ")[2] for x in said] == WHY[how]
    assert_kept(name)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("how", ["full", "closed"])
def test_standard_error_that_cannot_be_written(
    name: str, how: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with broken(how) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert exit_code(name) == COMMANDS[name][3]
    assert capsys.readouterr().out
    assert_kept(name)


def test_bad_input_without_any_output_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with broken("full") as out, broken("full") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        for main, argv in ((numpy_train.main, ["--bits", "0"]), (sweep.main, ["--help"])):
            with pytest.raises(SystemExit) as ended:
                main(argv)
            assert ended.value.code == 2


def test_a_stopped_command_keeps_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    @terminal.command
    def stopped(argv: Any = None) -> int:
        terminal.say("so far")
        raise KeyboardInterrupt

    with broken("full") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert stopped() == 130
    assert "cannot write to standard output" in capsys.readouterr().err


def test_an_exception_is_no_verdict(capsys: Capture) -> None:
    @terminal.command
    def broken(argv: Any = None) -> int:
        raise LookupError("nobody thought of this")

    assert broken() == 2
    assert "LookupError: nobody thought of this" in capsys.readouterr().err


def test_characters_missing_in_the_terminals_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(octets, "ascii", write_through=True))

    @terminal.command
    def shown(argv: Any = None) -> int:
        terminal.say("\N{GREEK SMALL LETTER DELTA}\udcff")
        return 0

    assert shown() == 0
    assert octets.getvalue() == b"\\u03b4\\udcff\n"


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SystemExit) as ended:
        add.main([ADDER, "2", "-"])
    assert ended.value.code == 2
    assert "B cannot be read from -" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code", "errors"),
    [
        ("-m rnn_numpy.train {train} > /dev/full", 2, "error: {cannot}: No space left on device"),
        ("-m rnn_numpy.train {train} >&-", 2, "error: {cannot}: Bad file descriptor"),
        ("-m rnn_numpy.train {train} <&- 2>&-", 0, ""),
        ("-m rnn_numpy.train --help > /dev/full", 2, "error: {cannot}: No space left on device"),
        ("-m rnn_numpy.train {train} <&- >&- 2>&-", 2, ""),
        ("-m rnn_numpy.train {train} > /dev/full 2>&1", 2, ""),
        ("-I -S {verify} {proof} > /dev/full", 2, "{cannot}: No space left on device"),
        ("-I -S {verify} {proof} >&-", 2, "{cannot}: Bad file descriptor"),
        ("-I -S {verify} {proof} > /dev/full 2>&1", 2, ""),
        ("-I -S {verify} nothing {proof} 2> /dev/full", 2, ""),
        ("-I -S {verify} {proof} | true", 0, ""),
        ("-m rnn_numpy.train {train} | head -n 1", 0, ""),
    ],
)
def test_exit_codes_seen_by_a_shell(line: str, code: int, errors: str) -> None:
    """Includes the end of the interpreter, which flushes its buffers."""
    if "/dev/full" in line:
        needs_a_full_device()
    words = {"train": " ".join(TRAIN), "verify": verify.__file__, "proof": f"{PROOF} {ADDER}"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} {line.format(**words)}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.strip() == errors.format(cannot="cannot write to standard output")
    assert done.returncode == code
    if "{train}" in line:
        assert load_params("kept")[1]["steps"] == "200"
