"""What README and docs show, Python and commands, runs as it stands and says what they say."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("page", [p for p in PAGES if python(p)], ids=lambda p: p.stem)
def test_python_examples(page: Path) -> None:
    for program in python(page):
        given = "from rnn_numpy.textbook import textbook as my_backward\n"
        call = "test_my_backward()\n" if "def test_my_backward" in program else ""
        command = [sys.executable, "-W", "error", "-c", given + program + call]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        if "fraction(" in program:
            assert 0 <= float(done.stdout) < 1
        if "as_text" in program:
            assert done.stdout.startswith("RIGHT: my gate agrees with autograd to within rounding")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "tests" / "README.md"])
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https://)([^)#]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def sessions(page: Path) -> list[tuple[str, list[str]]]:
    """Each command of a page that this project's programs run, and the lines shown below it."""
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


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "proof.md"], ids=lambda page: page.stem
)
def test_commands_print_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    """To the word; decimals only in their place, since another processor rounds differently."""
    assert sessions(page)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for command, shown in sessions(page):
        words = [sys.executable, *shlex.split(command)[1:]]
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        said = [masked(line) for line in done.stdout.splitlines()]
        for line in map(masked, shown):
            if line.strip() != "...":
                assert line in said, f"{command}: {line}"


def masked(line: str) -> str:
    return re.sub(r"-?\d+\.\d+(e-?\+?\d+)?|\d+e[-+]\d+", "#", " ".join(line.split()))
