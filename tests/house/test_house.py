"""The table of imports between folders, compared with the folders on disk and every import."""

import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

from imports import at_import, imported_of_ours

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

# Besides itself; of its own package, or with another's name. A module that stands in a package's
# own folder belongs to that.
SHARED = "bptt_check.commands"
FOLDERS = {
    "bptt_check": {
        "candidate": "",
        "commands": "candidate",
        "networks": "candidate",
        "error_bound": "networks",
        "tracing": "error_bound networks",
        "catalogue": "error_bound networks tracing",
        "naming": "catalogue error_bound networks tracing",
        "editing": "candidate",
        "process": "candidate editing",
        "mending": "candidate catalogue editing error_bound naming networks tracing",
        "layers": "networks",
        "judge": "candidate catalogue commands editing error_bound mending naming networks tracing",
        "reports": "candidate commands judge mending",
    },
    "rnn_numpy": {
        "compiled": "",
        "elman_network": "",
        "tasks": "compiled elman_network",
        "storage": f"elman_network {SHARED}",
        "proof": f"elman_network tasks {SHARED}",
        "real_proof": "elman_network proof tasks",
        "training": f"compiled elman_network proof real_proof storage tasks {SHARED}",
        "commands": f"compiled elman_network proof real_proof storage tasks training {SHARED}",
    },
    "rnn_torch": {
        "elman_network": f"rnn_numpy.elman_network {SHARED}",
        "fused": "rnn_numpy.compiled rnn_numpy.elman_network elman_network",
        "training": "rnn_numpy.compiled rnn_numpy.elman_network rnn_numpy.proof "
        f"rnn_numpy.real_proof rnn_numpy.storage rnn_numpy.tasks rnn_numpy.training {SHARED} "
        "elman_network fused",
    },
}
MAY_IMPORT = {
    f"{package}.{folder}": {n if "." in n else f"{package}.{n}" for n in names.split()}
    for package, folders in FOLDERS.items()
    for folder, names in folders.items()
}
# The commands may import everything, but `bptt_check` neither of the twins.
MAY_IMPORT["bptt_check"] = {name for name in MAY_IMPORT if name.startswith("bptt_check.")}
MAY_IMPORT["rnn_numpy"] = {n for n in MAY_IMPORT if n.startswith("rnn_numpy.")} | {SHARED}
MAY_IMPORT["rnn_torch"] = set(MAY_IMPORT)
FILES = sorted(
    file
    for package in ("bptt_check", "rnn_numpy", "rnn_torch")
    for file in (SRC / package).rglob("*.py")
)


def folder(file: Path) -> str:
    return ".".join(file.relative_to(SRC).parent.parts)


def home(name: str) -> str:
    """The folder of a module, or of a name in a module, in dotted form."""
    while not (SRC / name.replace(".", "/")).is_dir():
        name = name.rpartition(".")[0]
    return name


def test_imports_follow_the_table() -> None:
    assert [
        f"{file.relative_to(SRC)}: {name}"
        for file in FILES
        for name in imported_of_ours(file)
        if home(name) not in MAY_IMPORT[folder(file)] | {folder(file)}
    ] == []


def test_the_table_has_all_folders() -> None:
    assert {folder(file) for file in FILES} == set(MAY_IMPORT)


def test_the_map_has_all_folders_and_files() -> None:
    text = (ROOT / "docs" / "map.md").read_text()
    words = set(re.findall(r"[\w/]+", text.partition("```")[2].partition("```")[0]))
    files = {file.stem for file in FILES} - {"__init__"}
    rooms = {name.partition(".")[2] + "/" for name in MAY_IMPORT if "." in name}
    assert files | rooms <= words


def test_there_is_no_import_cycle_of_folders_or_of_files() -> None:
    """At import; a function may import what would be a cycle otherwise."""
    TopologicalSorter(MAY_IMPORT).prepare()
    graph = {module(file): {m for m in map(module_of, at_import(file)) if m} for file in FILES}
    TopologicalSorter({name: needs - {name} for name, needs in graph.items()}).prepare()


def module(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_of(name: str) -> str:
    """The module of ours that this is, or that this name is imported from."""
    while name and not (SRC / name.replace(".", "/")).is_dir():
        if (SRC / (name.replace(".", "/") + ".py")).is_file():
            return name
        name = name.rpartition(".")[0]
    return name


def test_a_folder_has_at_most_ten_files() -> None:
    """At most ten files, besides its __init__.py."""
    files = Counter(folder(file) for file in FILES if file.name != "__init__.py")
    assert {name: n for name, n in files.items() if n > 10} == {}
