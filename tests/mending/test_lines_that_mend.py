"""The lines that mend a wrong pass: of one mistake or several, in a function or another file.

What is said to mend it does: the whole check of the pass with these lines says RIGHT.
"""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bptt_check.candidate.loading import load_function
from bptt_check.editing.expressions import of_call
from bptt_check.judge import examine
from bptt_check.testing import check
from profiles import nightly
from rnn_torch import check as command
from tests.passes import textbook
from tests.passes.edits import edited
from tests.passes.sets import gru, lstm, tanh, two_layers
from tests.passes.sets.form import HEAD, Pass

pytestmark = [pytest.mark.unannotated, pytest.mark.mends, pytest.mark.verdict, pytest.mark.few]
EXAMPLES = Path(__file__).parents[2] / "examples"
TRANSPOSE = (EXAMPLES / "wrong_transpose.py").read_text()
Capture = pytest.CaptureFixture[str]


def fields(file: str, *flags: str, capsys: Capture, code: int = 1) -> dict[str, Any]:
    assert command.main([file, *flags, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def of_textbook(*changes: tuple[str, str]) -> str:
    text = "import numpy as np\nfrom typing import Any\nArray, Gradients = np.ndarray, dict\n"
    return text + edited(inspect.getsource(textbook.tanh), changes)


RETURNED = (
    '    return {"dx": dx, "dh_0": dh_next, "dU": dU, "dW": dW, "db": db, "dV": dV, "dc": dc}'
)
CLIPPED = """    for g in (dx, dh_next, dU, dW, db, dV, dc):
        np.clip(g, -0.5, 0.5, out=g)
    dh_0, loss = dh_next, 0.0
    return loss, dx, dh_0, dU, dW, db, dV, dc"""
TOKEN = "dc += (p[t] - np.eye(len(c))[y[t]]).sum(axis=0)"
BESIDE = """import numpy as np
import torch
from rnn_torch.networks import network, upstream
@network(X="time batch n_in", D=upstream("time batch n_out"), h="batch hidden",
         Wx="n_in hidden", Wh="hidden hidden", Wy="hidden n_out")
def net(X, D, h, Wx, Wh, Wy):
    for x, d in zip(X, D):
        h = torch.tanh(x @ Wx + h @ Wh)
        yield (h @ Wy * d).sum()
def backward(X, D, h, Wx, Wh, Wy):
    H = [h]
    for x in X:
        H.append(np.tanh(x @ Wx + H[-1] @ Wh))
    dWx, dWh, dWy = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wy)
    dh = D[-1] @ Wy.T
    for t in reversed(range(len(X))):
        d = D[t]
        dz = dh * (1 - H[t + 1] ** 2)
        dWx += X[t].T @ dz
        dWh += dz.T @ H[t]
        dWy += H[t + 1].T @ d
        dh = dz @ Wh + d @ Wy.T
    return {"Wx": dWx, "Wh": dWh, "Wy": dWy}
"""
TANH = "tanh --network tanh"
#: What is wrong, the text, the function with flags, and the lines that mend it.
MENDED: dict[str, tuple[str, str, dict[str, str]]] = {
    "a wrong cell": (
        (EXAMPLES / "wrong_lstm.py").read_text(),
        "backward --network lstm",
        {"line 39": "dcell = dcell * f  # here: * f"},
    ),
    "a clip and a mistake; names from a return statement": (
        of_textbook(("dV += h[t].T", "dV += h[t - 1].T"), (RETURNED, CLIPPED)),
        TANH,
        {"line 21": "dV += h[t].T @ dy", "line 31": "pass"},
    ),
    "an error that is not handed to the step before": (
        of_textbook(("dh_next = dz @ W.T", 'back = {"h": dz @ W.T}')),
        TANH,
        {"line 29": """back = {"h": dz @ W.T}; dh_next = back['h']"""},
    ),
    "weights of 0 that are kept, right elsewhere": (
        of_textbook(("    return {", "    dW *= W != 0\n    return {")),
        TANH,
        {"line 30": "pass"},
    ),
    "a branch that runs in a corner alone": (
        of_textbook(
            ("    return {", "    if (W == 0).any():\n        dW = (dW + dW.T) / 2\n    return {")
        ),
        TANH,
        {"line 31": "dW = (dW + dW) / 2"},
    ),
    "a step at which an index is -1": (
        of_textbook(
            ("(T + 1, B", "(T, B"),
            ("h[-1] = h_0", "pass"),
            ("+ h[t - 1]", "+ (h[t - 1] if t else h_0)"),
        ),
        TANH,
        {"line 26": "dW += (h[t - 1] if t else h_0).T @ dz"},
    ),
    "a statement behind the loop": (
        of_textbook(
            ("        db += dz.sum(axis=0)\n", ""),
            ("    return {", "    db += dz.sum(axis=0)\n    return {"),
        ),
        TANH,
        {"line 28": "dh_next = dz @ W.T; db += dz.sum(axis=0)", "line 29": "pass"},
    ),
    "a statement before the loop": (
        of_textbook(
            ("        dc += dy.sum(axis=0)\n", ""),
            ("    dh_next = np.z", "    dy = p[0]\n    dh_next = np.z"),
            ("_like(h_0)\n    for", f"_like(h_0)\n    {TOKEN}\n    for"),
        ),
        TANH,
        {"line 19": "pass", "line 21": f"dy = p[t].copy(); {TOKEN}"},
    ),
    "two mistakes in a line, of an entry with a name": (
        BESIDE,
        "backward --network {file}:net",
        {"line 20": "dWh += H[t].T @ dz", "line 22": "dh = dz @ Wh.T + D[t - 1] @ Wy.T"},
    ),
    "a window": (
        edited(
            (EXAMPLES / "wrong_truncated.py").read_text(),
            [("delta @ W.T", "delta @ W"), ("dV += h[t + 1]", "dV += h[t]")],
        ),
        "backward --window 4",
        {
            "line 19": "dV += h[t + 1].T @ eps",
            "line 24": "delta = delta @ W.T * h[s] * (1 - h[s])",
        },
    ),
    "a loop that an edit makes endless": (
        edited(
            TRANSPOSE,
            [
                (
                    "for t in reversed(range(len(x))):\n",
                    "t = len(x)\n    while t != 0:\n        t = t - 1\n",
                )
            ],
        ),
        "backward",
        {"line 22": "delta = (eps @ V.T + delta @ W.T) * h[t + 1] * (1 - h[t + 1])"},
    ),
}
BY_NIGHT = ("a statement before the loop", "two mistakes in a line, of an entry with a name")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[nightly] * (name in BY_NIGHT)) for name in MENDED]
)
def test_the_lines_that_mend(name: str, tmp_path: Path, capsys: Capture) -> None:
    text, asked, lines = MENDED[name]
    file = tmp_path / "mine.py"
    file.write_bytes(text.replace("\n", "\r\n" if "clip" in name else "\n").encode())
    function, *flags = asked.replace("{file}", str(file)).split()
    mend = fields(f"{file}:{function}", *flags, capsys=capsys)["mend"]
    assert mend["proved"]
    assert {line["place"]: line["after"] for line in mend["lines"]} == lines


#: Sets of two to five mistakes: the pass, the number of the set, and how often a line stands alone.
SETS: list[Any] = [(tanh, 0, 2), (gru, 2, 2)]
OTHERS: dict[Any, list[tuple[int, int]]] = {
    tanh: [(1, 4), (2, 1)],
    gru: [(0, 4), (1, 2), (1, 3)],
    lstm: [(0, 1), (0, 3)],
    two_layers: [(0, 4), (1, 4)],
}
SETS += [pytest.param(k, *at, marks=nightly) for k, its in OTHERS.items() for at in its]


@pytest.mark.parametrize(("family", "of", "number"), SETS)
def test_a_set_of_mistakes(family: Any, of: int, number: int, tmp_path: Path) -> None:
    its: Pass = family.PASSES[of]
    changes = [its.mistakes[key] for key in its.sets[number]]
    right = HEAD + its.text
    wrong = HEAD + edited(its.text, [(m.right, m.wrong) for m in changes])
    (tmp_path / "candidate.py").write_text(wrong)
    name = re.findall(r"^def (\w+)", its.text, re.MULTILINE)[-1]
    function: Any = load_function(str(tmp_path / "candidate.py"), name)
    space = function.__globals__
    before = {n: getattr(f, "__code__", None) for n, f in space.items()}
    with np.errstate(all="ignore"):
        report = check(function, its.network)
    assert before == {n: getattr(f, "__code__", None) for n, f in space.items()}
    assert report.mend is not None
    assert report.mend.proved
    pairs = enumerate(zip(right.splitlines(), wrong.splitlines(), strict=True), 1)
    assert [line.place for line in report.mend.lines] == [
        f"line {n}" for n, (old, new) in pairs if old != new
    ]


def patched(text: str, patch: str) -> str:
    """The text with a unified diff."""
    lines, found, at = text.split("\n"), list[str](), 0
    for line in patch.split("\n")[2:-1]:
        if line.startswith("@@"):
            start = int(line.split()[1].split(",")[0][1:]) - 1
            found += lines[at:start]
            at = start
        elif line.startswith("+"):
            found.append(line[1:])
        else:
            assert lines[at] == line[1:]
            at += 1
            found += [line[1:]] if line.startswith(" ") else []
    return "\n".join([*found, *lines[at:]])


def test_the_patch_mends_the_file_and_keeps_the_ends_of_lines(
    tmp_path: Path, capsys: Capture
) -> None:
    file, patch = tmp_path / "mine.py", tmp_path / "mine.diff"
    wrong = (EXAMPLES / "wrong_two_mistakes.py").read_text().replace("\n", "\r\n")
    file.write_bytes(wrong.encode())
    assert command.main([f"{file}:backward", "--patch", str(patch)]) == 1
    said = capsys.readouterr()
    assert "One way to mend it: with these 2 lines changed, the whole check says RIGHT:" in said.out
    assert "Your lines" not in said.out
    assert f"-d {tmp_path}" in said.err
    diff = patch.read_bytes().decode()
    assert diff.startswith("--- mine.py\n")  # from its folder, which is not the current one
    file.write_bytes(patched(wrong, diff).encode())
    assert file.read_bytes().count(b"\r\n") == wrong.count("\n")
    assert command.main([f"{file}:backward", "--patch", str(patch)]) == 0
    assert "no patch: it is RIGHT as it is" in capsys.readouterr().err


def test_a_notebook(tmp_path: Path, capsys: Capture) -> None:
    head, define, body = TRANSPOSE.partition("def backward")
    cells = [{"cell_type": "code", "source": [part]} for part in (head, define + body)]
    file, patch = tmp_path / "mine.ipynb", tmp_path / "mine.diff"
    file.write_text(json.dumps({"cells": cells}))
    assert command.main([f"{file}:backward", "--patch", str(patch)]) == 1
    said = capsys.readouterr()
    assert "cell 2, line 11: delta = (eps @ V.T + delta @ W)" in said.out
    assert "One way to mend it" in said.out
    assert "a notebook's cells cannot be patched" in said.err
    assert not patch.exists()


STRANGER = """
class Model:
    def forward(self, x, U, W, V):
        self.h, self.o = [np.zeros((x.shape[1], len(W)))], []
        for x_t in x:
            self.h.append(sigmoid(x_t @ U + self.h[-1] @ W))
            self.o.append(sigmoid(self.h[-1] @ V))

    def backward(self, x, y, U, W, V):
        self.forward(x, U, W, V)
        g = {n: np.zeros_like(w) for n, w in dict(dU=U, dW=W, dV=V).items()}
        delta = np.zeros_like(self.h[0])
        for t in reversed(range(len(x))):
            h, before = self.h[t + 1], self.h[t]
            eps = self.o[t] - y[t]
            delta = (eps @ V.T + delta @ W.T) * h * (1 - h)
            g["dU"] += x[t].T @ delta
            g["dW"] += h.T @ delta
            g["dV"] += h.T @ eps
        return g
"""
ADAPTER = """
from pathlib import Path
path = str(Path(__file__).with_name("stranger.txt"))
space = {}
exec(compile(open(path).read(), path, "exec"), space)
def backward(x, y, U, W, V):
    return space["Model"]().backward(x, y, U, W, V)
"""


def test_an_adapter_that_loads_another_file(tmp_path: Path, capsys: Capture) -> None:
    head = "import numpy as np\ndef sigmoid(a): return 1 / (1 + np.exp(-a))\n"
    (tmp_path / "stranger.txt").write_text(head + STRANGER)
    (tmp_path / "adapter.py").write_text(ADAPTER)
    found = fields(f"{tmp_path / 'adapter.py'}:backward", capsys=capsys)["mend"]
    assert found["proved"]
    assert {(Path(line["file"]).name, line["place"]) for line in found["lines"]} == {
        ("stranger.txt", "line 17"),
        ("stranger.txt", "line 20"),
    }


def test_the_verdict_stands_if_mending_fails(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "raise_failures", False)
    ends = "import os, sys\ncalls = [0]\n" + TRANSPOSE.replace(
        "    h = [", "    calls[0] += 1\n    if calls[0] > 5: os._exit(3)\n    h = [", 1
    )
    (tmp_path / "mine.py").write_text(ends)
    found = fields(f"{tmp_path / 'mine.py'}:backward", capsys=capsys)
    assert found["verdict"] == "disagrees"
    assert found["mend"] is None
    assert any("mending it failed" in text for text in found["failed"])


def test_what_is_only_partly_mended_is_said_so(tmp_path: Path, capsys: Capture) -> None:
    odd = edited(
        TRANSPOSE, [("delta @ W)", "delta @ W.T)"), ("return dU,", "return dU + np.sin(dU),")]
    )
    odd = odd.replace("dV += h[t + 1].T @ eps", "dV += h[t].T @ eps")
    (tmp_path / "mine.py").write_text(odd)
    found = fields(f"{tmp_path / 'mine.py'}:backward", capsys=capsys)["mend"]
    assert (found["proved"], found["right"], found["left"]) in [
        (False, ["dV"], ["dU"]),
        (True, ["dU", "dV"], []),  # sin(dU) is a term too many
    ]
    assert found["right"]


def test_what_is_mended_at_one_step_is_said_so(tmp_path: Path, capsys: Capture) -> None:
    """The error of the next step is beyond mending; the derivative is seen without it."""
    mixed = "def mixed(a, W):\n    return np.roll(np.sinh(a), 1, 1) * W.trace()\n"
    changes = [("delta @ W)", "mixed(delta, W))"), ("h[t + 1] * (1 - h[t + 1])", "(1 - h[t + 1])")]
    (tmp_path / "mine.py").write_text(edited(TRANSPOSE, changes) + "\n\n" + mixed)
    found = fields(f"{tmp_path / 'mine.py'}:backward", capsys=capsys)["mend"]
    assert (found["one_step"], found["proved"], found["right"]) == (True, False, ["dU"])
    assert [line["place"] for line in found["lines"]] == ["line 20"]


def test_brackets_around_what_is_reduced_stay() -> None:
    node = ast.parse("(d ** 2).mean(axis=1)", mode="eval").body
    assert isinstance(node, ast.Call)
    its = [text for text, _ in of_call(node, node.func, node.args)]
    assert "(d ** 2).sum(axis=1)" in its
