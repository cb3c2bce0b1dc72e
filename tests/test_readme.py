"""The Python in README and docs runs as it stands, and shows what it says."""

import re
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
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link
