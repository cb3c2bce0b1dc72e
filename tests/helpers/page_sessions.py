"""The commands on a page, and their output there."""

import re
from pathlib import Path


def sessions(page: Path) -> list[tuple[str, list[str]]]:
    """Each command of this project on a page, and the lines shown below it."""
    found = []
    for block in re.findall(r"^```\n(\$ .*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            make = re.fullmatch(r'make (train|train-numpy)(?: ARGS="(.*)")?', command)
            if make:
                package = {"train": "rnn_torch", "train-numpy": "rnn_numpy"}[make[1]]
                command = f"python -m {package}.train {make[2] or ''}"
            if command.startswith("python -m rnn_"):
                found.append((command, shown))
    return found


def masked(line: str) -> str:
    return re.sub(r"-?\d+\.\d+(e-?\+?\d+)?|\d+e[-+]\d+", "#", " ".join(line.split()))
