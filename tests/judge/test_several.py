"""Several backward passes in one command: a row each, whatever a file does."""

import argparse
import csv
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bptt_check import several
from bptt_check.reports.rows import FIELDS, as_csv, as_markdown_table, as_rows, row
from bptt_check.several import Outcome, named, pages_of
from bptt_check.testing import check as check_here
from candidate_files import RIGHT_FILE
from rnn_numpy.elman_network.textbook import textbook
from rnn_torch import check
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
EXAMPLES = Path(__file__).parents[2] / "examples"
WRONG = (EXAMPLES / "wrong_transpose.py").read_text()
FILES = {
    "right.py": (RIGHT_FILE, "agrees"),
    "wrong.py": (WRONG, "disagrees"),
    "sleeps.py": (
        "import time\ndef backward(x, y, U, W, V):\n    time.sleep(99)\n", "cannot check"
    ),
    "exits.py": ("import sys\nsys.exit(3)\n", "cannot check"),
    "kills.py": (
        "import os\ndef backward(x, y, U, W, V):\n    os.kill(os.getpid(), 9)\n", "cannot check"
    ),
    "broken.ipynb": ("{", "cannot check"),
    "other.py": ("def forward(x): ...\n", "cannot check"),
}  # fmt: skip


def test_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("class").mkdir()
    for name, (text, _) in FILES.items():
        (Path("class") / name).write_text(text)
    flags = ["--json", "--html", "pages", "--timeout", "1", "--shapes", "6,2,2,4,1"]
    assert check.main(["class/*:backward", *flags]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    found = {d["candidate"]: d["verdict"] for d in document["candidates"]}
    assert found == {f"class/{name}:backward": FILES[name][1] for name in sorted(FILES)}
    pages = {page.name for page in Path("pages").iterdir()}
    assert pages == {f"{name.partition('.')[0]}.html" for name in FILES}
    assert "WRONG" in Path("pages", "wrong.html").read_text()


def test_a_process_that_ends_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next target gets a new one."""
    monkeypatch.setattr(several, "AT_ONCE", 1)
    targets = ["a.py:f", "b.py:f"]
    flags = argparse.Namespace(program="no_such_module")
    found = list(several.outcomes(targets, flags))
    assert sorted(each.target for each in found) == targets
    assert {(each.report, each.exit_code) for each in found} == {(None, 2)}


@cache
def rows() -> list[dict[str, str]]:
    wrong: Any = check_here(planted(next(m for m in CATALOGUE if m.name == "W not transposed")))
    found = [
        Outcome("class/a.py:f", check_here(textbook)),
        Outcome("class/b.py:f", wrong),
        Outcome("class/c|d.py:f", None, "=1+1 | it raises\n::error::"),
    ]
    return [row(*each) for each in found]


def test_the_table_as_csv_and_as_markdown() -> None:
    found = list(csv.DictReader(io.StringIO(as_csv(rows()))))
    assert tuple(found[0]) == FIELDS
    assert [each["verdict"] for each in found] == ["RIGHT", "WRONG", "CANNOT CHECK"]
    assert "W is not transposed" in found[1]["mistake"]
    assert found[1]["where"]
    assert found[2]["why"].startswith("'=1+1")  # no formula
    assert "\n" not in found[2]["why"]
    lines = as_markdown_table(rows()).splitlines()
    assert len(lines) == 2 + 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(FIELDS)}


@pytest.mark.parametrize("width", [None, 60, 100])
def test_the_table_at_a_terminal(width: int | None) -> None:
    *lines, empty, last = as_rows(rows(), width).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["RIGHT", "WRONG", "CANNOT CHECK"]
    assert max(map(len, lines)) <= (width or 100)
    assert not empty
    assert last == "3 checked: 1 RIGHT, 1 WRONG, 1 CANNOT CHECK"


def test_patterns_and_the_names_of_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.py", "a.py", "a[1].py"):
        Path(name).write_text("")
    assert named(["*.py:f", "a.py:f", "x.py:g"]) == ["a.py:f", "a[1].py:f", "b.py:f", "x.py:g"]
    assert named(["a[1].py:f"]) == ["a[1].py:f"]  # a file of this name is no pattern
    assert pages_of(["s/a.py:f", "s/b/c.py:f"]) == ["a.html", "b-c.html"]
    assert pages_of(["a.py:f", "a.py:g"]) == ["a.py-f.html", "a.py-g.html"]
    assert pages_of([]) == []
