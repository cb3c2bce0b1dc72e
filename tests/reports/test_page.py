"""The HTML report of `check`: self-contained, escaped, and shown by a browser if installed."""

import html
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from candidate_files import RIGHT_FILE
from judged import SMALL
from rnn_torch import check

# In one process, which makes the page once.
pytestmark = [pytest.mark.unannotated, pytest.mark.xdist_group("page"), pytest.mark.few]
EXAMPLES = Path(__file__).parents[2] / "examples"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Elements(HTMLParser):
    """The elements of the page with their attributes; checks that each one is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == ["html"]  # whose end may be left out

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "html":
            assert self.open.pop() == tag

    def count(self, tag: str, text: str = "") -> int:
        return sum(t == tag and text in (a.get("class") or "") for t, a in self.found)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    deep = folder / ("a_folder_whose_name_has_no_place_to_break_a_line_" * 3)
    deep.mkdir()
    shutil.copy(EXAMPLES / "wrong_transpose.py", deep)
    file = folder / "report.html"
    assert check.main([f"{deep / 'wrong_transpose.py'}:backward", "--html", str(file)]) == 1
    return file


def test_what_is_on_the_page(wrong: Path) -> None:
    page = wrong.read_text()
    elements = Elements(page)
    assert "<b>WRONG</b>" in page
    assert "W is not transposed on the path h @ W" in page
    assert "dU: right at its own step, wrong one step back, loss t=2 -&gt; state t=1." in page
    assert '<span class="number">line 20</span>  delta = (eps @ V.T + delta @ W)' in page
    assert '<a href="#eq-7">(7)</a>' in page
    assert elements.count("div", "cited") == 4  # those in the comment of the network's line
    assert "&part;E/&part;h<sub>t</sub> = &epsilon;<sub>t</sub> V<sup>T</sup>" in page
    # Of 6 losses and states, the 15 below the diagonal are wrong, and dW of four losses.
    assert elements.count("td", "is-wrong") == 15 + 4
    assert elements.count("td", "is-right") == 6 + 2 + 6
    for method in ("complex step", "RTRL", "Taylor order"):
        assert f"<td>{method}</td>" in page
    assert '<tr><td>dV</td><td colspan="7">right</td></tr>' in page  # no entry of it


def test_every_problem_and_how_the_page_was_made(wrong: Path, tmp_path: Path) -> None:
    """The command is quoted for a shell, for any file name."""
    right = tmp_path / "a name.py"
    right.write_text(RIGHT_FILE)
    file = tmp_path / "report.html"
    flags = [f"{right}:backward", "--seed", "3", "--html", str(file)]
    assert check.main(flags) == 0
    for text, words, opened in (
        (file.read_text(), "within", True),
        (wrong.read_text(), "beyond", False),
    ):
        elements = Elements(text)
        assert elements.count("td", words) > 20
        assert ("<details open>" in text) == opened
        assert "<td>general</td>" in text
        assert f"torch {torch.__version__}" in text
    assert Elements(file.read_text()).count("td", "beyond") == 0
    command = re.search("<p><code>(.*?)</code></p>", file.read_text())
    assert command is not None
    assert shlex.split(html.unescape(command[1])) == ["python", "-m", "rnn_torch.check", *flags]


def test_the_page_is_self_contained(wrong: Path) -> None:
    for tag, attributes in Elements(wrong.read_text()).found:
        assert tag not in ("script", "link", "img", "iframe")
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in wrong.read_text()


@pytest.mark.verdict
def test_right_approximate_impure_and_what_cannot_be_checked(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    for name, word, code in (
        ("right_loop", "RIGHT", 0),
        ("wrong_finite_difference", "APPROXIMATE", 1),
        ("wrong_stale_buffers", "IMPURE", 1),
        ("right_recipe_only", "CANNOT CHECK", 2),
    ):
        assert check.main([f"{EXAMPLES / name}.py:backward", "--html", str(file)]) == code
        page = file.read_text()
        Elements(page)
        assert f"<b>{word}</b>" in page


def test_our_own_passes_on_one_page(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert check.main(["--shapes", SMALL, "--html", str(file)]) == 0
    assert file.read_text().count("<b>RIGHT</b>") == len(check.own_passes(None))


def test_text_from_the_file_is_escaped(tmp_path: Path) -> None:
    name, file = "<b onclick=x>.py", tmp_path / "report.html"
    (tmp_path / name).write_text("raise RuntimeError('<script>alert(1)</script>')")
    assert check.main([f"{tmp_path / name}:backward", "--html", str(file)]) == 2
    elements = Elements(file.read_text())
    assert elements.count("script") == 0
    assert elements.count("b") == 1
    assert "&lt;script&gt;alert(1)" in file.read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])  # a phone, and a screen
def test_in_a_browser(scheme: str, width: int, wrong: Path, tmp_path: Path) -> None:
    """Only the kill matrix is wider than the page, and text has enough contrast."""
    assert CHROMIUM is not None
    asking = """<script>
      const tables = [...document.querySelectorAll(".scroll:not(details *)")];
      const cut = tables.some(table => table.scrollWidth > table.clientWidth);
      document.querySelector("details").open = true;
      const of = (e, what) => getComputedStyle(document.querySelector(e))[what];
      const root = document.documentElement;
      const fits = root.scrollWidth <= innerWidth && !cut;
      parent.document.title = [innerWidth, fits, of("body", "color"),
        of("body", "backgroundColor"), of(".is-wrong", "backgroundColor")].join("|");
    </script>"""
    page = tmp_path / "page.html"
    # In a frame: a window of Chromium's own is never as narrow as a phone.
    framed = html.escape(wrong.read_text() + asking)
    page.write_text(f'<iframe width="{width}" height="900" frameborder="0" srcdoc="{framed}">')
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
         f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found is not None
    inner, fits, ink, paper, heat = found[1].split("|")
    assert (int(inner), fits) == (width, "true")
    levels = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert levels[0] + 450 < levels[1] if scheme == "light" else levels[1] + 450 < levels[0]
    assert heat not in (ink, paper)
