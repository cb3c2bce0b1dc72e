"""Failures that can be foreseen are reported before the work; later ones lose no result."""

import errno
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bptt_check.commands.atomic_files import made_by
from bptt_check.reports import page
from commands import Capture, bad
from rnn_numpy import prove
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.checkpoint import read
from rnn_torch import check
from trainings import MAINS, both

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
EXAMPLES = Path(__file__).parents[2] / "examples"
ADDER = str(EXAMPLES / "smallest-adder.safetensors")
WRONG = f"{EXAMPLES / 'wrong_transpose.py'}:backward"
DRAWING: list[tuple[Callable[..., int], list[str]]] = [
    (check.main, [WRONG]),
    (numpy_train.main, ["--iterations", "5", "--bits", "3"]),
]
drawing = pytest.mark.parametrize(("main", "argv"), DRAWING)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@both
def test_a_tree_that_is_not_installed(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    assert made_by().startswith("rnn-bptt-reference 0")
    monkeypatch.setattr("bptt_check.commands.atomic_files.version", nowhere)
    argv = ["--iterations", "30", "--bits", "3", "--out", "w", "--checkpoint", "kept"]
    assert MAINS[package](argv) == 0
    assert load_params("w")[1]["made_by"] == "rnn-bptt-reference, version unknown"
    assert read(Path("kept")).steps == 30
    assert "rnn-bptt-reference, version unknown" in page.as_html([], "float64", name="a", why="b")


@drawing
def test_without_matplotlib(
    main: Callable[..., int], argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = bad(main, [*argv, "--plot", "picture.png"], capsys)
    assert said == "--plot: a picture needs matplotlib: pip install matplotlib"


def test_without_jinja(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    said = bad(check.main, [WRONG, "--html", "page.html"], capsys)
    assert said == "--html: a page needs jinja2: pip install jinja2"


def test_a_checkpoint_is_checked_before_the_work(capsys: Capture) -> None:
    Path("file").write_text("")
    Path("folder").mkdir()
    for path, why in {
        "file/x": "cannot write file/x: Not a directory",
        "folder": "folder is a folder, but a checkpoint is one file",
        "file": "file exists: pass --resume to continue it",
    }.items():
        assert why in bad(numpy_train.main, ["--checkpoint", path], capsys)


#: A command, and how what it prints begins, although the disk is full.
LATE: list[tuple[Callable[..., int], list[str], str]] = [
    (prove.main, [ADDER, "--state-bits", "2", "--certificate"], "proved: "),
    *(
        (check.main, [WRONG, "--json", flag], r'\{.*"verdict": "disagrees"')
        for flag in ("--html", "--plot")
    ),
    *(
        (numpy_train.main, [*DRAWING[1][1], flag], ".*of 16 sums exact; engine: ")
        for flag in ("--plot", "--out")
    ),
]


@pytest.mark.parametrize(("main", "argv", "printed"), LATE)
def test_a_disk_that_fills_up_costs_no_result(
    main: Callable[..., int],
    argv: list[str],
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    kept = "kept.html" if "--html" in argv else "kept.png"
    assert main([*argv, kept]) == 2
    said = capsys.readouterr()
    assert re.match(printed, said.out, re.DOTALL)
    if "--json" in argv:
        json.loads(said.out)
    assert said.err == f"error: cannot write {kept}: No space left on device\n"
    assert os.listdir() == []
