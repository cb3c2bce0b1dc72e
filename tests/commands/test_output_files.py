"""Files that cannot be written: refused before the work if foreseeable; no result is lost."""

import errno
import importlib.metadata
import json
import os
import re
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bptt_check.commands.atomic_files import WeightsError, check_writable, made_by, write_bytes
from bptt_check.reports import page
from commands import Capture, bad
from rnn_numpy import prove
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.checkpoint import read
from rnn_numpy.training.many import Results
from rnn_numpy.training.recipe import Recipe
from rnn_torch import check, sweep
from rnn_torch import train as torch_train

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
EXAMPLES = Path(__file__).parents[2] / "examples"
ADDER = str(EXAMPLES / "smallest-adder.safetensors")
PROOF = [ADDER, "--state-bits", "2"]
WRONG = f"{EXAMPLES / 'wrong_transpose.py'}:backward"
TRAIN = ["--iterations", "5", "--bits", "3"]
KINDS = {
    "fifo": "it is a FIFO",
    "socket": "it is a socket",
    "device": "it is a device",
    "dangling": "it is a link to nothing",
    "folder": "it is a folder",
    "absent/": "it is a folder",
    "link-to-fifo": "it is a FIFO",
    "circle": "Too many levels of symbolic links",
}

#: Every command's flags that name a file to be written; the ending is one that the flag takes.
WRITTEN: list[tuple[Callable[..., int], list[str], str, str]] = [
    (numpy_train.main, TRAIN, "--out", ".safetensors"),
    (torch_train.main, TRAIN, "--out", ".safetensors"),
    (prove.main, PROOF, "--certificate", ".txt"),
    (check.main, [], "--html", ".html"),
    (check.main, [], "--plot", ".png"),
    (sweep.main, ["--seeds", "0", "--iterations", "5"], "--out", ".jsonl"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nodes() -> Iterator[None]:
    """One of each kind of file."""
    os.mkfifo("fifo")
    os.mkdir("folder")
    os.symlink("nowhere", "dangling")
    os.symlink("fifo", "link-to-fifo")
    os.symlink("circle", "circle")
    if os.geteuid() == 0:
        os.mknod("device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        yield


def tree() -> dict[str, int]:
    return {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in os.scandir()}


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize("name", KINDS)
def test_an_output_that_is_not_a_file_is_refused(name: str) -> None:
    if name == "device" and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    before = tree()
    for attempt in (check_writable, lambda path: write_bytes(path, b"replaced")):
        with pytest.raises(WeightsError, match=f"^cannot write {name}: {KINDS[name]}$"):
            attempt(name)
    if name == "fifo":
        with pytest.raises(WeightsError, match="cannot write fifo: it is a FIFO"):
            Results(Path(name), [Recipe()], 1000, resume=True)
    assert tree() == before


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize(("main", "argv", "flag", "ending"), WRITTEN)
def test_every_flag_refuses_before_the_work(
    main: Callable[..., int], argv: list[str], flag: str, ending: str, capsys: Capture
) -> None:
    for name in ("fifo", "dangling", "folder"):
        os.symlink(name, f"{name}{ending}")  # links to each of them: they must end as flags want
    before = tree()
    for name in ("fifo", "dangling", "folder"):
        file = f"{name}{ending}"
        said = bad(main, [*argv, flag, file], capsys)
        assert said == f"{flag}: cannot write {file}: {KINDS[name]}"
    assert tree() == before


@pytest.mark.usefixtures("nodes")
def test_a_checkpoint_is_checked_before_the_work(capsys: Capture) -> None:
    Path("file").write_text("")
    for path, why in {
        "file/x": "cannot write file/x: Not a directory",
        "folder": "folder is a folder, but a checkpoint is one file",
        "file": "file exists: pass --resume to continue it",
        "fifo": "cannot write fifo: it is a FIFO",
        "dangling": "cannot write dangling: it is a link to nothing",
    }.items():
        assert why in bad(numpy_train.main, ["--checkpoint", path], capsys)


def test_a_link_to_a_file_is_written_through() -> None:
    os.mkdir("there")
    Path("there/file").write_text("older")
    os.link("there/file", "older")
    os.symlink("there/file", "link")
    write_bytes("link", b"newer")
    assert os.readlink("link") == "there/file"
    assert Path("link").read_text() == "newer"
    assert Path("older").read_text() == "older"  # replaced, not overwritten
    assert os.listdir("there") == ["file"]


def test_a_tree_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    assert made_by().startswith("rnn-bptt-reference 0")
    monkeypatch.setattr("bptt_check.commands.atomic_files.version", nowhere)
    assert numpy_train.main([*TRAIN, "--out", "w", "--checkpoint", "kept"]) == 0
    assert load_params("w")[1]["made_by"] == "rnn-bptt-reference, version unknown"
    assert read(Path("kept")).steps == 5
    assert "rnn-bptt-reference, version unknown" in page.as_html([], "float64", name="a", why="b")


@pytest.mark.parametrize(
    ("main", "argv", "absent", "why"),
    [
        (check.main, [WRONG, "--plot", "p.png"], "matplotlib.figure", "a picture needs matplotlib"),
        (numpy_train.main, ["--plot", "p.png"], "matplotlib.figure", "a picture needs matplotlib"),
        (check.main, [WRONG, "--html", "p.html"], "jinja2", "a page needs jinja2"),
    ],
)
def test_without_a_package(
    main: Callable[..., int],
    argv: list[str],
    absent: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    package = absent.partition(".")[0]
    assert bad(main, argv, capsys) == f"{argv[-2]}: {why}: pip install {package}"


#: A command, and how what it prints begins, although the disk is full.
LATE: list[tuple[Callable[..., int], list[str], str]] = [
    (prove.main, [*PROOF, "--certificate", "kept"], "proved: "),
    (check.main, [WRONG, "--json", "--html", "kept.html"], r'\{.*"verdict": "disagrees"'),
    (check.main, [WRONG, "--json", "--plot", "kept.png"], r'\{.*"verdict": "disagrees"'),
    (numpy_train.main, [*TRAIN, "--plot", "kept.png"], ".*of 16 sums exact; engine: "),
    (numpy_train.main, [*TRAIN, "--out", "kept"], ".*of 16 sums exact; engine: "),
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
    assert main(argv) == 2
    said = capsys.readouterr()
    assert re.match(printed, said.out, re.DOTALL)
    if "--json" in argv:
        json.loads(said.out)
    assert said.err == f"error: cannot write {argv[-1]}: No space left on device\n"
    assert os.listdir() == []
