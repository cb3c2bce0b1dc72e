"""An output that is not a regular file is refused, for every flag that names an output."""

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bptt_check.commands.atomic_files import WeightsError, check_writable, write_bytes
from bptt_check.commands.pictures import save
from commands import Capture, bad
from rnn_numpy import prove
from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.many import Results
from rnn_numpy.training.recipe import Recipe
from rnn_torch import check, sweep
from rnn_torch import train as torch_train

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
ADDER = str(Path(__file__).parents[2] / "examples" / "smallest-adder.safetensors")
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
kinds = pytest.mark.parametrize("name", KINDS)

#: Every command's flags that name a file to be written; the ending is one that the flag takes.
WRITTEN: list[tuple[Callable[..., int], list[str], str, str]] = [
    (numpy_train.main, ["--iterations", "5"], "--out", ".safetensors"),
    (torch_train.main, ["--iterations", "5"], "--out", ".safetensors"),
    (prove.main, [ADDER, "--state-bits", "2"], "--certificate", ".txt"),
    (check.main, [], "--html", ".html"),
    (check.main, [], "--plot", ".png"),
    (sweep.main, ["--seeds", "0", "--iterations", "5"], "--out", ".jsonl"),
]


@pytest.fixture(autouse=True)
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One of each kind of file."""
    monkeypatch.chdir(tmp_path)
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


def needs_root(name: str) -> None:
    if name == "device" and os.geteuid() != 0:
        pytest.skip("only root makes devices")


@kinds
def test_an_output_that_is_not_a_file_is_refused(name: str) -> None:
    needs_root(name)
    before = tree()
    for attempt in (check_writable, lambda path: write_bytes(path, b"replaced")):
        with pytest.raises(WeightsError, match=f"^cannot write {name}: {KINDS[name]}$"):
            attempt(name)
    assert tree() == before


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


@pytest.mark.parametrize("name", [name for name in KINDS if name != "absent/"])
def test_results_are_in_a_file(name: str) -> None:
    needs_root(name)
    with pytest.raises(WeightsError, match=f"cannot write {name}: {KINDS[name]}"):
        Results(Path(name), [Recipe()], 1000, resume=True)


@pytest.mark.parametrize("name", ["fifo", "device", "dangling"])
def test_a_checkpoint_is_a_file(name: str, capsys: Capture) -> None:
    needs_root(name)
    said = bad(numpy_train.main, ["--checkpoint", name], capsys)
    assert said == f"cannot write {name}: {KINDS[name]}"


def test_a_link_to_a_file_is_written_through(capsys: Capture) -> None:
    Path("there").mkdir()
    Path("there/weights").write_text("older")
    os.link("there/weights", "older")
    os.symlink("there/weights", "link")
    argv = ["--iterations", "5", "--bits", "3", "--out", "link"]
    assert numpy_train.main(argv) == 0
    assert os.readlink("link") == "there/weights"
    assert load_params("there/weights")[1]["steps"] == "5"
    assert Path("older").read_text() == "older"  # replaced, not overwritten
    assert os.listdir("there") == ["weights"]


def test_pictures_and_texts_are_written_through_links() -> None:
    from matplotlib.figure import Figure

    Path("target").write_text("older")
    os.symlink("target", "link.png")
    save(Figure(), "link.png")
    assert Path("link.png").is_symlink()
    assert Path("target").read_bytes().startswith(b"\x89PNG")
    write_bytes("link.png", b"newer")
    assert Path("target").read_text() == "newer"
