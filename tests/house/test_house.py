"""The table of imports between folders, compared with the folders on disk and every import."""

import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from imports import imported_of_ours

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

# Besides itself. A module that stands in a package's own folder belongs to that.
RUNS = {
    "rnn_numpy.compiled",
    "rnn_numpy.elman_network",
    "rnn_numpy.proof",
    "rnn_numpy.real_proof",
    "rnn_numpy.storage",
    "rnn_numpy.tasks",
}
MAY_IMPORT: dict[str, set[str]] = {
    "rnn_numpy.compiled": set(),
    "bptt_check.candidate": set(),
    "rnn_numpy.elman_network": set(),
    "rnn_numpy.tasks": {"rnn_numpy.compiled", "rnn_numpy.elman_network"},
    "rnn_numpy.storage": {"rnn_numpy.elman_network"},
    "rnn_numpy.proof": {"rnn_numpy.elman_network", "rnn_numpy.tasks"},
    "rnn_numpy.real_proof": {"rnn_numpy.elman_network", "rnn_numpy.proof", "rnn_numpy.tasks"},
    "rnn_numpy.training": RUNS,
    "rnn_numpy.commands": RUNS | {"bptt_check.candidate", "rnn_numpy.training"},
    "rnn_torch.elman_network": {"rnn_numpy.elman_network"},
    "rnn_torch.fused": {"rnn_numpy.compiled", "rnn_numpy.elman_network", "rnn_torch.elman_network"},
    "bptt_check.judge": {"rnn_numpy.elman_network", "bptt_check.candidate"},
    "rnn_torch.elman_by_hand": {
        "rnn_numpy.elman_network",
        "bptt_check.candidate",
        "bptt_check.judge",
        "rnn_torch.elman_network",
    },
    "rnn_torch.networks": set(),
    "bptt_check.error_bound": {"rnn_torch.networks"},
    "bptt_check.tracing": {"bptt_check.error_bound", "rnn_torch.networks"},
    "bptt_check.catalogue": {"bptt_check.error_bound", "rnn_torch.networks", "bptt_check.tracing"},
    "bptt_check.judge": {
        "bptt_check.candidate",
        "bptt_check.catalogue",
        "bptt_check.judge",
        "rnn_torch.elman_by_hand",
        "bptt_check.error_bound",
        "rnn_torch.networks",
        "bptt_check.reports",
        "bptt_check.tracing",
    },
    "bptt_check.reports": {
        "bptt_check.candidate",
        "rnn_numpy.storage",
        "bptt_check.judge",
        "rnn_torch.elman_by_hand",
    },
    "rnn_torch.training": RUNS
    | {"rnn_numpy.training", "rnn_torch.elman_network", "rnn_torch.fused"},
}
# The commands may import everything.
MAY_IMPORT["rnn_numpy"] = {name for name in MAY_IMPORT if name.startswith("rnn_numpy.")}
MAY_IMPORT["rnn_torch"] = set(MAY_IMPORT)
FILES = sorted(file for package in SRC.glob("rnn_*") for file in package.rglob("*.py"))


def folder(file: Path) -> str:
    return ".".join(file.relative_to(SRC).parent.parts)


def home(name: str) -> str:
    """The folder of a module, or of a name in a module, in dotted form."""
    while not (SRC / name.replace(".", "/")).is_dir():
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_imports_follow_the_table(file: Path) -> None:
    here = folder(file)
    assert {
        name for name in imported_of_ours(file) if home(name) not in MAY_IMPORT[here] | {here}
    } == set()


def test_the_table_has_all_folders() -> None:
    assert {folder(file) for file in FILES} == set(MAY_IMPORT)


def test_the_map_has_all_files_and_the_table() -> None:
    """docs/map.md has each folder, each file, and the table."""
    text = (ROOT / "docs" / "map.md").read_text()
    words = set(re.findall(r"[\w/]+", text.partition("```")[2].partition("```")[0]))
    files = {file.stem for file in FILES} - {"__init__"}
    rooms = {name.replace(".", "/") for name in MAY_IMPORT if "." in name}
    assert files | {name.partition("/")[2] + "/" for name in rooms} <= words
    rows = dict(re.findall(r"^\| `(rnn_\w+/\w+)` \| (.*) \|$", text, re.MULTILINE))
    shown = {room: set(re.findall(r"`([^`]+)`", may)) for room, may in rows.items()}
    assert shown == {
        name.replace(".", "/"): {other.replace(".", "/") for other in may}
        for name, may in MAY_IMPORT.items()
        if "." in name
    }


def test_there_is_no_import_cycle() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()


def test_a_folder_has_at_most_ten_files() -> None:
    """At most ten files, besides its __init__.py."""
    files = Counter(folder(file) for file in FILES if file.name != "__init__.py")
    assert {name: n for name, n in files.items() if n > 10} == {}
