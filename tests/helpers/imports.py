"""The imports of a file, for the tests of the import rules."""

import ast
from pathlib import Path

OWN = ("bptt_check", "rnn_numpy", "rnn_torch")


def imported(file: Path) -> set[str]:
    """Every module that this one imports, and each name that it imports from one."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_of_ours(file: Path) -> set[str]:
    """The imported modules and names of this project."""
    return {name for name in imported(file) if name.split(".")[0] in OWN}


def at_import(file: Path) -> set[str]:
    """What it imports of this project when it is imported: not in a function, not for types."""
    found, waiting = set(), list(ast.parse(file.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.If):
            waiting += node.orelse if "TYPE_CHECKING" in ast.dump(node.test) else node.body
        elif isinstance(node, ast.Try):
            waiting += node.body
    return {name for name in found if name.split(".")[0] in OWN}
