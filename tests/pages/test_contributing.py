"""The example of CONTRIBUTING.md: its changes, in order, give the output that it shows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forked import Forked, imported_anew
from profiles import NIGHTLY

ROOT = Path(__file__).parents[2]
WALK = (ROOT / "CONTRIBUTING.md").read_text().partition("## An example")[2]


@pytest.mark.parametrize(
    ("module", "package"), [("rnn_torch.check", "rnn_torch"), ("bptt_check", "bptt_check")]
)
def test_without_torch_a_command_says_what_it_needs(module: str, package: str) -> None:
    """-S hides the installed packages."""
    command = [sys.executable, "-S", "-m", module]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == f"{package} needs torch: pip install torch\n"
    assert done.returncode == 2


def test_the_example_of_contributing_md(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    *_, third, fourth = re.findall(
        r"^```\n\$ make check\n(.*?)^```", WALK, re.DOTALL | re.MULTILINE
    )
    oracles, changed, bound = re.split(r"^### [45]\.", WALK, flags=re.MULTILINE)
    make_changes(oracles, tmp_path)
    if NIGHTLY:
        assert shown_but_not_said(third, tmp_path) == []
    make_changes(changed, tmp_path)
    assert shown_but_not_said(fourth, tmp_path) == []
    assert oracles.count("\n--- ") + changed.count("\n--- ") <= 8
    make_changes(bound, tmp_path)


def make_changes(text: str, folder: Path) -> None:
    """Apply each diff to its file, which is named after `---`."""
    for diff in re.findall(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
            name, *lines = part.splitlines()
            old, new = ("\n".join(x[1:] for x in lines if x[0] in marks) for marks in ("- ", "+ "))
            source = (folder / name).read_text()
            assert source.count(old) == 1, f"{name}: {old}"
            (folder / name).write_text(source.replace(old, new))


def shown_but_not_said(shown: str, folder: Path) -> list[str]:
    """Lines of the page that the check of the changed passes does not print.

    Numbers aside, and where they make a line wrap.
    """
    _, out, _ = Forked(checked_in, folder).ended()
    said = masked(out)
    return [line for line in masked(shown) if line != "..." and line not in said]


def checked_in(folder: Path) -> int:
    """`python -m rnn_torch.check` with the source of this folder, in a process of its own."""
    os.chdir(folder)
    code: int = imported_anew("rnn_torch.check", folder / "src").main([])
    return code


def masked(screen: str) -> list[str]:
    unwrapped = re.sub(r"\n  (?=\S)", " ", screen)
    return re.sub(r"\d+(\.\d+)?(e[+-]\d+)? times", "# times", unwrapped).splitlines()
