"""Text of a candidate is escaped: no terminal, CI log or Markdown page interprets it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bptt_check.candidate.calling import call
from bptt_check.candidate.escaping import shown
from bptt_check.judge.asking import CannotCheck
from bptt_check.judge.candidate import judged
from bptt_check.judge.report import Report
from bptt_check.reports.text import as_markdown, as_text
from bptt_check.subjects import subject_for
from candidate_files import RIGHT_FILE
from catalogued import of_name
from commands import bad
from judged import examine, in_this_process, remade
from problems import Array, drawn
from rnn_numpy.elman_network.textbook import textbook
from rnn_torch import check
from tests.passes.elman_mistakes import planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Capture = pytest.CaptureFixture[str]

NASTY = (
    "\x1b[2J\x1b]0;title\x07\r\n::error::forged\n### RIGHT: forged\n\n````\n</pre><b>\n"
    "\u202egnorw\u2066\u2028::error::\x85 ::error::by wrapping "
    "##[error]old ##vso[task.logissue]\x9b2J"
)


def assert_only_text(page: str) -> None:
    assert all(line.isprintable() for line in page.split("\n"))
    assert not any(line.lstrip().startswith("::") for line in page.split("\n"))
    assert re.search(r"##\w*\[", page) is None
    assert [line for line in page.split("\n")[1:] if line.startswith("#")] == []


@given(st.text() | st.text("# :[a\n\x1b"))
def test_shown(text: str) -> None:
    once = shown(text)
    assert_only_text(f"first: {once}")
    for word in once.split():
        assert not word.startswith("::")
    assert shown(once) == once
    if text.isprintable() and "::" not in text and "##" not in text:
        assert once == text


def test_ordinary_text_is_not_changed() -> None:
    for text in ("café 数学 \\x1b", "std::bad_alloc in a.py::f", "# of [1]", "##", "a:: b", "5 %"):
        assert shown(text) == text
    assert shown("::error::x") == "\\x3a:error::x"
    assert shown("\n ##[group]\t\udc80") == r"\n \x23#[group]\t\udc80"


RAISES = f"def backward(*_): raise ValueError({NASTY!r})"
RETURNS = f"def backward(*_): return type({NASTY!r}, (), {{}})()"
AT_IMPORT = f"raise SystemExit({NASTY!r})"


@pytest.mark.parametrize(
    ("flag", "text"), [("--html", RAISES), ("--json", AT_IMPORT), ("--markdown", RETURNS)]
)
def test_hostile_text_in_a_files_error(
    flag: str, text: str, tmp_path: Path, capsys: Capture
) -> None:
    file, page = tmp_path / "mine.py", tmp_path / "page.html"
    file.write_text(text)
    flags = [flag, str(page)] if flag == "--html" else [flag]
    assert check.main([f"{file}:backward", *flags]) == 2
    said = capsys.readouterr()
    assert_only_text(said.out)
    assert_only_text(said.err)
    assert "forged" in said.out + said.err
    if flag == "--html":
        assert_only_text(page.read_text())
        assert len(said.err.splitlines()) == 1
    elif flag == "--json":
        assert "\\n::error::forged\\n### RIGHT" in json.loads(said.out)["why"]
    else:
        # All of it between two fences, longer than those it writes itself.
        heading, fence, *_, end = filter(None, said.out.split("\n"))
        assert heading == f"### CANNOT CHECK `{file}:backward`"
        assert fence == end == "`" * 5


def test_a_hostile_file_name(tmp_path: Path, capsys: Capture) -> None:
    file, page = tmp_path / f"{NASTY.replace('/', '')}.py", tmp_path / "page.html"
    file.write_text(RIGHT_FILE)
    target = f"{file}:backward"
    assert check.main([target, "--html", str(page)]) == 0
    assert_only_text(page.read_text())
    assert check.main([target, "--json"]) == 0
    assert check.main([target, "--markdown"]) == 0
    assert check.main([f"{target}\n::error::"]) == 2
    said = capsys.readouterr()
    assert_only_text("\n".join(line.removeprefix("### ") for line in said.out.split("\n")))
    assert_only_text(said.err)
    assert json.loads(said.out.splitlines()[1])["candidate"] == shown(target)
    assert "</pre><b>" not in page.read_text()
    assert_only_text(bad(check.main, ["--plot", f"/nowhere/{NASTY}"], capsys))


def test_every_text_in_a_report_of_a_wrong_pass() -> None:
    """A report contains a pass's side effects, and the reason if it returns nothing."""
    one = drawn(0, (2, 1, 1, 1, 1))
    network = subject_for()
    called = call(textbook, network.form, network.question(one))
    answer = judged(called._replace(impure=[NASTY]), one, network)
    report: Report = examine(remade(lambda: planted(of_name("W not transposed"))))
    report = replace(report, where=None, not_located=str(CannotCheck(NASTY)), impure=answer.impure)
    for width in range(60):  # wherever the lines are broken
        assert_only_text(as_text(report, "x" * width + NASTY))
    markdown = as_markdown(report, NASTY)
    assert_only_text(markdown)
    prose = re.sub(r"^(`{3,}).*?^\1$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    heading, *others = prose.split("\n")
    assert re.fullmatch("### WRONG: (`{5}) .* \\1 does not agree with autograd.*", heading)
    assert "forged" not in "".join(others)


def test_a_function_that_is_asked_directly() -> None:
    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> object:
        return type(NASTY, (), {})()

    with pytest.raises(CannotCheck) as raised:
        in_this_process(backward)(drawn(0, (1, 1, 1, 1, 1)))
    assert_only_text(str(raised.value))


def environment_of_a_file(folder: Path, capsys: Capture, *flags: str) -> set[str]:
    file = folder / "mine.py"
    file.write_text("import os\nraise ValueError(' '.join(sorted(os.environ)))")
    assert check.main([f"{file}:backward", *flags]) == 2
    return set(capsys.readouterr().err.partition("ValueError: ")[2].partition(" (line")[0].split())


def test_a_file_gets_few_environment_variables(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing = {"OPENBLAS_CORETYPE": "Prescott", "ATEN_CPU_CAPABILITY": "default"}
    computing |= {"NPY_DISABLE_CPU_FEATURES": "", "MKL_CBWR": "COMPATIBLE"}
    for name, value in computing.items():
        monkeypatch.setenv(name, value)
    secrets = {"GITHUB_TOKEN", "GITHUB_STEP_SUMMARY", "AWS_SECRET_ACCESS_KEY", "PATHS", "HOME_X"}
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    got = environment_of_a_file(tmp_path, capsys)
    assert got.isdisjoint(secrets)
    assert {"PATH", *computing} <= got
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text()
    told = set(re.findall(r"`(\w+)`", page.partition("The process inherits the environment")[2]))
    own = {"RNN_BPTT_CANDIDATE"} | set(computing)
    assert all(n in told or n.partition("_")[0] + "_" in told or n.startswith("PYTHON")
               for n in got - own)  # fmt: skip
    also = environment_of_a_file(tmp_path, capsys, "--env", "PATHS", "--env", "GITHUB_TOKEN")
    assert also == got | {"PATHS", "GITHUB_TOKEN"}
