"""The Python code and commands in README and docs run and print what is shown."""

import ast
import importlib
import json
import pkgutil
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from bptt_check.judge import examine as judge  # noqa: F401 - conftest.py looks for it
from page_sessions import masked, sessions
from rnn_numpy.elman_network.textbook import textbook

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CHINESE = ROOT / "README.zh-CN.md"
OTHERS = [
    CHINESE, ROOT / "CONTRIBUTING.md", ROOT / "tests" / "README.md", *(ROOT / "src").rglob("*.md")
]  # fmt: skip


def python(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.few
@pytest.mark.unannotated
@pytest.mark.parametrize("page", [p for p in PAGES if python(p)], ids=lambda p: p.stem)
def test_python_examples(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, Any] = {"__name__": page.stem, "my_backward": textbook}
    for program in python(page):
        exec(compile(program, f"<{page.name}>", "exec", dont_inherit=True), given)
        if "test_my_backward" in given:
            given.pop("test_my_backward")()
        said = capsys.readouterr().out
        if "fraction(" in program:
            assert 0 <= float(said) < 1
        if "print(report)" in program:
            assert said.startswith("RIGHT: backward agrees with autograd")


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_links_have_targets(page: Path) -> None:
    for link in re.findall(r"\]\((?!https://)([^)]+)\)", page.read_text()):
        path, _, place = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if place.startswith("L"):
            assert int(place[1:]) <= len(target.read_text().splitlines()), link
        elif place:
            assert place in headings(target), link


@pytest.mark.parametrize("page", [*PAGES, ROOT / "tests" / "README.md"], ids=lambda page: page.stem)
def test_every_test_named_on_a_page_exists(page: Path) -> None:
    tests = {file.name: file.read_text() for file in (ROOT / "tests").rglob("*.py")}
    for words in re.findall(
        r"`((?:(?:\w+/)*\w+\.py::)?test_\w+|(?:\w+/)*test_\w+\.py)`", page.read_text()
    ):
        file, _, name = words.rpartition("::")
        if name.endswith(".py"):
            assert Path(name).name in tests, words
        else:
            where = [tests[Path(file).name]] if file else tests.values()
            assert any(f"def {name}(" in text for text in where), words


def test_every_dotted_name_exists() -> None:
    """Each `rnn_numpy.x` and `bptt_check.x.y` in the pages and in docstrings exists."""
    texts = [page.read_text() for page in [*PAGES, ROOT / "CONTRIBUTING.md"]]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for file in (ROOT / "src").rglob("*.py"):
        nodes = (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, documented))
        texts += filter(None, map(ast.get_docstring, nodes))
    dotted = re.compile(r"\b(?:rnn_numpy|rnn_torch|bptt_check)(?:\.[A-Za-z_]\w*)+")
    names = set(dotted.findall("\n".join(texts)))
    assert {"rnn_numpy.bptt", "rnn_numpy.training.many.train_many"} < names
    for name in names:
        found = pkgutil.resolve_name(name)
        module = name.rpartition(".")[0]
        # What a package exports may be from anywhere in it; a module's own is defined there.
        exports = hasattr(pkgutil.resolve_name(module), "__path__")
        assert exports or getattr(found, "__module__", module) == module, name


def headings(page: Path) -> set[str]:
    """GitHub's anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_links_of_bptt_md_lead_to_their_equations() -> None:
    text = (ROOT / "docs" / "bptt.md").read_text()
    found = set()
    for line in text.splitlines():
        if "#L" not in line:
            continue
        for number, links in re.findall(r"\((\d+)\)([^()]*(?:\([^()]*#L\d+\)[^()]*)+)", line):
            for shown, path, at in re.findall(r"\[(\d+)\]\(\.\./(\S+)#L(\d+)\)", links):
                assert shown == at
                cited = (ROOT / path).read_text().splitlines()[int(at) - 1]
                assert f"({number})" in cited, f"{path}:{at} is not ({number}): {cited.strip()}"
                found.add((path, int(number)))
    for path, numbers in (
        ("src/rnn_numpy/elman_network/model.py", range(1, 12)),
        ("src/rnn_torch/elman_network/model.py", range(1, 6)),
        ("src/rnn_numpy/compiled/kernels.c", (1, 2, 3, *range(6, 12))),
        ("src/rnn_numpy/elman_network/rtrl.py", (12, 13)),
    ):
        assert {(path, number) for number in numbers} <= found


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_mathematics_that_github_renders(page: Path) -> None:
    """GitHub drops a backslash before a non-letter, refuses operatorname, needs space around."""
    text = re.sub(r"^```.*?^```|`[^`]*`", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\\[^a-zA-Z\s]|\\operatorname", text) == []
    around = re.findall(r"(.?)\$[^$]+\$(.?)", text.replace("$$", ""))
    assert not any(before.isalnum() or after.isalnum() for before, after in around)


@pytest.mark.unannotated
@pytest.mark.mends
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.stem in ("README", "proof", "rounded-proof", "training")],
    ids=lambda page: page.stem,
)
def test_commands_print_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words must be equal; digits after the point may differ, as processors round differently."""
    assert sessions(page)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for command, shown in sessions(page):
        _, _, module, *flags = shlex.split(command)
        assert importlib.import_module(module).main(flags) in (0, 1)
        said = [masked(line) for line in capsys.readouterr().out.splitlines()]
        for line in map(masked, shown):
            if line.strip() != "...":
                assert line in said, f"{command}: {line}"


def test_commands_within_sentences_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer steps, to save time."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "training.md").read_text().replace("\n", " ")
    found = re.findall(r"`python -m (rnn_\w+\.(?:train|sweep))( --[^`]+)`", text)
    assert {program for program, _ in found} == {"rnn_torch.sweep"}
    for program, flags in found:
        main = importlib.import_module(program).main
        assert main([*flags.split(), "--iterations", "9", "--json"]) == 0


def test_the_readme_is_short_and_the_chinese_one_shows_the_same() -> None:
    english, chinese = (page.read_text() for page in (ROOT / "README.md", CHINESE))
    assert len(english.split()) < 1000
    for shown in (r"^```.*?^```$", r"\]\(([^)]*)\)"):  # code, links
        pair = [re.findall(shown, text, re.DOTALL | re.MULTILINE) for text in (english, chinese)]
        assert pair[0][:-1] == pair[1][:-1]  # the last link leads from one to the other


def test_the_numbers_in_sentences_are_those_that_were_measured() -> None:
    """The tables are generated from the stored results; these numbers are in sentences."""
    pages = (ROOT / "README.md", ROOT / "docs" / "training.md")
    text = " ".join(" ".join(page.read_text() for page in pages).split())
    kept = {
        file.stem: json.loads(file.read_text()) for file in (ROOT / "benchmarks/results").iterdir()
    }
    until = [row for row in kept["real_until"]["rows"] if row["seeds"] == 1000]
    refuted = kept["real_recipe"]["verdicts"]["refuted"]["seeds"]
    for words, holds in {
        "trains until it is, 1,000 of 1,000 seeds": [row["proved"] for row in until] == [1000],
        "of 100 networks trained by the recipe, all exact at 8 bits, at least 38": (
            kept["real_recipe"]["seeds"], kept["proof_recipe"]["exact"], len(refuted)
        ) == (100, 100, 38),
        "a thousand in half a minute": kept["many"]["networks"] == 1000
        and kept["many"]["seconds"]["counted every 1,000 steps"] < 35,
    }.items():  # fmt: skip
        assert words in text
        assert holds, words
