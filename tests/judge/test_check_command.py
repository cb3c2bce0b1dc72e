"""`python -m rnn_torch.check`: right and wrong files, every flag."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bptt_check.subjects import subject_for
from judged import SMALL
from page_sessions import masked, sessions
from profiles import NIGHTLY
from rnn_torch import check

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Capture = pytest.CaptureFixture[str]
PAGE = dict(sessions(EXAMPLES.parent / "docs" / "check.md"))


def example(name: str) -> str:
    return f"{EXAMPLES / name}.py:backward"


def assert_as_on_the_page(name: str, said: str, flags: str = "") -> None:
    """Compare with the output in docs/check.md, decimals masked; `...` replaces omitted lines."""
    command = f"python -m rnn_torch.check examples/{name}.py:backward{flags}"
    said = masked(said.replace(str(EXAMPLES), "examples"))
    for part in "\n".join(["", *PAGE[command], ""]).split("\n...\n"):
        assert masked(part) in said


@pytest.mark.few(False)
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("right_loop", "float64"), ("right_einsum", "float64"), ("right_loop", "float32")],
)
def test_right_examples(name: str, dtype: str, capsys: Capture) -> None:
    assert check.main([example(name), "--dtype", dtype]) == 0
    said = capsys.readouterr().out
    assert said.startswith("RIGHT: ")
    if dtype == "float64":
        assert_as_on_the_page(name, said)


def test_the_example_of_one_size(capsys: Capture) -> None:
    target = example("right_recipe_only")
    assert check.main([target]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("CANNOT CHECK ")  # no problem has its sizes
    assert "it raises ValueError" in said
    assert "(line 15)" in said
    assert "--shapes recipe" in said
    assert check.main([target, "--shapes", SMALL]) == 2  # it knows no batch


@pytest.mark.few(False)
def test_one_size_on_the_page(capsys: Capture) -> None:
    assert check.main([example("right_recipe_only"), "--shapes", "recipe"]) == 0
    assert_as_on_the_page("right_recipe_only", capsys.readouterr().out, " --shapes recipe")


@pytest.mark.mends
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wrong_transpose", "It behaves exactly like: W is not transposed on the path h @ W"),
        ("wrong_truncated", "4 steps back"),
        ("wrong_two_mistakes", "dW takes h_t, not h_(t-1)"),
        ("wrong_stale_buffers", "IMPURE"),
        ("wrong_finite_difference", "APPROXIMATE"),
    ],
)
def test_wrong_examples(name: str, says: str, capsys: Capture) -> None:
    assert check.main([example(name)]) == 1
    printed = capsys.readouterr().out
    assert says in " ".join(printed.split())
    assert len(printed.splitlines()) <= 40
    assert max(map(len, printed.splitlines())) <= 110
    assert_as_on_the_page(name, printed)


TEXTBOOK = """
import numpy as np
from rnn_numpy.elman_network.textbook import textbook
kept = {}
def backward(x, y, U, W, V):
"""


@pytest.mark.verdict
@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("return [np.asfortranarray(g) for g in textbook(x, y, U, W, V)]", 0, "RIGHT"),
        (
            "W = W if W.flags.c_contiguous else np.asfortranarray(W).T\n"
            "    return textbook(x, y, U, W, V)",
            1,
            "WRONG",
        ),
        (
            "return textbook(x, y, U, kept.setdefault(W.shape, W), V)",
            1,
            "state is kept between calls: asked A, B in one process",
        ),
    ],
)
def test_layouts_and_sequences_reach_the_candidate(
    body: str, code: int, says: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{TEXTBOOK}    {body}\n")
    assert check.main([f"{file}:backward"]) == code
    assert says in " ".join(capsys.readouterr().out.split())


def test_the_ci_job_on_the_page_writes_a_summary(capsys: Capture) -> None:
    (line,) = re.findall(
        r"- run: python -m rnn_torch\.check (.*) >> \"\$GITHUB_STEP_SUMMARY\"$",
        (EXAMPLES.parent / "docs" / "check.md").read_text(),
        re.MULTILINE,
    )
    assert check.main(line.replace("examples", str(EXAMPLES)).split()) == 1
    summary = capsys.readouterr().out
    assert summary.startswith("### WRONG: `")
    fences = re.findall(r"^```$", summary, re.MULTILINE)
    assert len(fences) >= 4
    assert len(fences) % 2 == 0


def test_plot(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "where.png"
    assert check.main([example("wrong_transpose"), "--plot", str(picture)]) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    nothing = tmp_path / "nothing.png"
    assert check.main([example("right_loop"), "--plot", str(nothing)]) == 0
    assert "nothing is wrong in time" in capsys.readouterr().err
    assert not nothing.exists()


def test_our_own_passes(capsys: Capture) -> None:
    one = ["--shapes", SMALL]
    for flags in ([] if NIGHTLY else ["--dtype", "float32", *one], ["--window", "4", *one]):
        assert check.main(flags) == 0
        verdicts = re.findall(r"^([A-Z ]+): rnn_(?:numpy|torch)\.", capsys.readouterr().out, re.M)
        assert set(verdicts) == {"RIGHT"}
        assert len(verdicts) == (1 if "--window" in flags else 5)
    assert check.main(["--json", *one]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert set(documents) == {own.name for own in check.own_passes(None)}
    assert {document["verdict"] for document in documents.values()} == {"agrees"}
    assert check.main(["--shapes", "recipe"]) == 2


def test_a_file_without_a_function_lists_its_functions(tmp_path: Path, capsys: Capture) -> None:
    """The file is not run."""
    file = tmp_path / "mine.py"
    file.write_text(
        "raise SystemExit\ndef forward(x, U): ...\nclass Net:\n"
        "    def backward(self, x, *, y=1): ...\n    def _own(self): ...\n"
    )
    assert check.main([str(file)]) == 2
    assert capsys.readouterr().err == (
        f"CANNOT CHECK {file}: add the function to check, as in {file}:forward; "
        "it has forward(x, U), line 2; Net.backward(self, x, *, y=1), line 4.\n"
    )
    file.write_text("x = 1\n")
    assert check.main([str(file)]) == 2
    assert "has no function: put the backward pass into one" in capsys.readouterr().err
    file.write_text("def f(:\n")
    assert check.main([str(file)]) == 2
    assert "must be FILE.py:FUNCTION, got" in capsys.readouterr().err


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bptt_check.several.examine", interrupt)
    assert check.main([example("right_loop")]) == 130


def test_the_command_imports_only_what_it_needs() -> None:
    """Also for a wrong candidate, which is located, named and voted on; each takes seconds."""
    program = f"""
import sys
from rnn_torch import check
check.main(["--json", {example("wrong_transpose")!r}, "--shapes", "3,1,1,2,1"])
heavy = "torch._dynamo sympy matplotlib hypothesis jinja2"
print([name for name in heavy.split() if name in sys.modules], file=sys.stderr)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.stderr == "[]\n"


def test_the_sizes_of_the_network_of_the_page() -> None:
    assert subject_for().fixed == {}
    recipe = subject_for(shapes="recipe")
    assert recipe.fixed == {"time": 8, "n_in": 2, "hidden": 16, "n_out": 1}
    shapes = {n: a.shape(recipe.fixed) for n, a in recipe.network.arguments.items()}
    assert shapes == {"x": (8, 2), "y": (8, 1), "U": (2, 16), "W": (16, 16), "V": (16, 1)}
    numbers = subject_for(shapes="1,2,3,4,5").fixed
    assert numbers == {"time": 1, "batch": 2, "n_in": 3, "hidden": 4, "n_out": 5}
    assert subject_for(shapes="hidden=16").fixed == {"hidden": 16}
