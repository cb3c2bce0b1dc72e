"""Which lines of a pass lead to its wrong gradients: found by reading it, never by running it."""

import json
import os
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from bptt_check.candidate.calling import Form
from bptt_check.own_lines.lines import own_lines, source_in_file, source_of
from bptt_check.testing import check
from candidate_files import EXAMPLES

FORM = Form(("x", "y", "W", "b"), ("W", "b"))


def listed(
    body: str,
    folder: Path,
    wrong: str = "W",
    right: str = "b",
    form: Form = FORM,
    helpers: str = "",
) -> list[str] | None:
    file = folder / "candidate.py"
    body = body.replace("return @", "return {'dW': dW, 'db': e}")
    its = f"def backward(x, y, W, b):\n    e = x @ W + b - y\n    {body}\n"
    file.write_text(f"import numpy as np\n{helpers}\n{its}")
    source = source_in_file(f"{file}:backward")
    assert source is not None
    found = own_lines(source, form, [*wrong], [*right])
    return None if found is None else [text for _, text in found.lines]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # The gradients are returned in order, by name, with a loss.
        ("dW = x @ e; db = e\n    return dW, db", ["dW = x @ e; db = e"]),
        ("dW = x @ e\n    return {'dW': dW, 'b': 2 * e}", ["dW = x @ e"]),
        ("dW, db = x @ e, e\n    return dict(dW=dW, db=db)", ["dW, db = x @ e, e"]),
        ("g = {}\n    g['W'] = x @ e\n    g['b'] = e\n    return g", ["g['W'] = x @ e"]),
        ("g = [x @ e, e]\n    return g", ["g = [x @ e, e]"]),
        ("g = {'dW': x @ e, 'db': e}\n    return e.sum(), g", ["g = {'dW': x @ e, 'db': e}"]),
        ("return x @ e, e", ["return x @ e, e"]),
        ("dW = e\n    db = e\n    return db, dW", ["dW = e"]),
        # A part of an array, an argument that is written, a loop, a branch.
        ("dW = 0 * W\n    dW[0] = x @ e\n    return @", ["dW[0] = x @ e"]),
        ("dW = []\n    dW.append(x)\n    return @", ["dW.append(x)"]),
        ("dW = 0 * W\n    np.dot(x, e, out=dW)\n    return @", ["np.dot(x, e, out=dW)"]),
        ("dW = 0\n    for k in x:\n        dW += k\n    return @", ["for k in x:", "dW += k"]),
        ("if W:\n        dW = x\n    else:\n        dW = e\n    return @",
         ["if W:", "dW = x", "dW = e"]),
        # What the right gradient comes from is cleared, not its variable.
        ("dW = e + 0\n    f = dW\n    dW = dW * x\n    return {'dW': dW, 'db': f}",
         ["dW = dW * x"]),
        # A shape is no value, so nothing seems to write it.
        ("d = np.zeros(x.shape)\n    return d, e", None),
    ],
)  # fmt: skip
def test_lines_that_lead_to_dW_and_not_to_db(
    body: str, expected: list[str] | None, tmp_path: Path
) -> None:
    assert listed(body, tmp_path) == expected


def test_lines_of_two_wrong_gradients(tmp_path: Path) -> None:
    """Those that both come from; if there are none, those that any comes from."""
    assert listed("d = e * x\n    return d.T @ x, d.sum(0)", tmp_path, "Wb", "") == [
        "e = x @ W + b - y", "d = e * x", "return d.T @ x, d.sum(0)",
    ]  # fmt: skip
    apart = "dW = x\n    db = y\n    return {'dW': dW, 'db': db}"
    assert listed(apart, tmp_path, "Wb", "") == ["dW = x", "db = y"]
    kept = "dW = x\n    db = y\n    return {'dW': b, 'db': db}"
    assert listed(kept, tmp_path) == ["return {'dW': b, 'db': db}"]


def test_updates_of_weights(tmp_path: Path) -> None:
    form = FORM._replace(rate=1.0)
    assert listed("W -= x @ e\n    b -= e", tmp_path, form=form) == ["W -= x @ e"]


def test_methods_notebooks_and_functions(tmp_path: Path) -> None:
    method = """
        class A:
            def forward(self, x):
                self.x, self.h = x, x @ self.W
            def back(self, y):
                e = self.h - y
                self.dW = e @ self.x
                self.db = e
    """
    file = tmp_path / "a.py"
    file.write_text(dedent(method))
    source = source_in_file(f"{file}:A.forward,A.back")
    assert source is not None
    found = own_lines(source, FORM, ["W"], ["b"])
    assert found is not None
    assert found.words == "lines with values that lead to dW, not to db"
    assert [where for where, _ in found.lines] == ["line 4", "line 7"]
    source = source_in_file(f"{file}:A.forward,A.back")
    assert source is not None
    both = own_lines(source, FORM, ["W", "b"], [])
    assert both is not None
    assert [where for where, _ in both.lines] == ["line 4", "line 6"]  # what forward keeps, too
    book = tmp_path / "a.ipynb"
    cells = ["import this\n\n", "def back(x, y, W, b):\n    e = x - y\n    return x @ e, e\n"]
    code = [{"cell_type": "code", "source": text.splitlines(True)} for text in cells]
    book.write_text(json.dumps({"cells": code}))
    source = source_in_file(f"{book}:back")
    assert source is not None
    found = own_lines(source, FORM, ["W"], ["b"])
    assert found is not None
    assert found.lines == (("cell 2, line 3", "return x @ e, e"),)
    assert source_in_file(f"{file}:A.none") is None
    assert source_in_file(f"{tmp_path}/none.py:back") is None
    os.mkfifo(tmp_path / "pipe.py")
    assert source_in_file(f"{tmp_path}/pipe.py:back") is None
    assert source_of(len) is None
    assert source_of(lambda x: x) is None


@pytest.mark.parametrize(
    ("helpers", "body", "expected"),
    [
        # A helper with several returns, a lambda, a nested function, a helper that writes.
        ("def f(a, k):\n    if k:\n        return a\n    return 2 * a",
         "dW = f(e, x)\n    return @", ["if k:", "return 2 * a", "dW = f(e, x)"]),
        ("f = lambda a: a ** 3", "dW = f(e)\n    return @", ["f = lambda a: a ** 3", "dW = f(e)"]),
        ("", "def f(a):\n        return a @ x\n    dW = f(e)\n    return @",
         ["return a @ x", "dW = f(e)"]),
        ("def f(g, a):\n    g += a ** 3", "dW = 0 * W\n    f(dW, x)\n    return @",
         ["g += a ** 3", "f(dW, x)"]),
        # A second name of an array, a view, and ufuncs that write.
        ("", "dW = 0 * W\n    g = dW\n    g += x @ e\n    return @", ["g += x @ e"]),
        ("", "dW = 0 * W\n    g = dW[1:].T\n    g[0] = x @ e\n    return @", ["g[0] = x @ e"]),
        ("", "dW = 0 * W\n    np.add.at(dW, y, x)\n    return @", ["np.add.at(dW, y, x)"]),
        ("", "dW = 0 * W\n    np.add(x, e, dW)\n    return @", ["np.add(x, e, dW)"]),
        ("", "dW = x @ e\n    for g in (dW, W):\n        np.clip(g, 0, 1, out=g)\n    return @",
         ["dW = x @ e", "for g in (dW, W):", "np.clip(g, 0, 1, out=g)"]),
        # A part that is right shows nothing about the others, nor a sum about its terms.
        ("", "p = (e, x * 2)\n    d, dW = p\n    return {'dW': dW, 'db': d}",
         ["p = (e, x * 2)", "d, dW = p"]),
        ("", "s = x[::-1]\n    dW = s @ e\n    return {'dW': dW, 'db': s.sum(0)}",
         ["s = x[::-1]", "dW = s @ e"]),
        # A wrong condition, constant, or variable that is returned.
        ("K = 3", "dW = K * e\n    return @", ["K = 3", "dW = K * e"]),
        ("", "return x, e", ["return x, e"]),
    ],
)  # fmt: skip
def test_what_leads_there_through_calls_and_second_names(
    helpers: str, body: str, expected: list[str], tmp_path: Path
) -> None:
    found = listed(body, tmp_path, helpers=helpers)
    assert found is not None
    assert set(expected) <= set(found)


@pytest.mark.parametrize(
    ("helpers", "body", "what"),
    [
        ("from beside import f", "dW = f(e)\n    return @", "f (line 5)"),
        ("", "dW, f = step(e)\n    return {'dW': dW, 'db': f}", "step (line 5)"),
        ("", "dW = x.some(e)\n    return @", "x.some (line 5)"),
        ("", "dW = 0 * W\n    step(dW)\n    return @", "step (line 6)"),
        ("def f(a):\n    return f(a)", "dW = f(e)\n    return @", "f (line 3)"),
        ("def f(*a):\n    return a[0]", "dW = f(e)\n    return @", "f (line 6)"),
        ("def f(a):\n    return a", "dW = np.vectorize(f)(e)\n    return @", "np.vectorize(f)"),
        ("@step\ndef f(a):\n    return a", "dW = f(e)\n    return @", "f (line 7)"),
        ("class A(B):\n    def f(self):\n        return 1",
         "a = A()\n    dW = a.f()\n    return @", "A (line 7)"),
        ("class C:\n    def g(self, a):\n        a += 1\n        return a",
         "c = C()\n    dW = c.g(x)\n    return @", "C (line 8)"),
        ("class C:\n    def add(self, a):\n        a += 1",
         "dW = x @ e\n    C().add(dW)\n    return @", "C().add (line 8)"),
        ("", "try:\n        dW = x\n    except ValueError:\n        dW = e\n    return @",
         "this try (line 5)"),
        ("", "g = getattr(np, 'dot')\n    dW = g(x, e)\n    return @", "g (line 6)"),
        ("from bptt_check.candidate.loading import load_function\nf = load_function('a.py', 'f')",
         "dW = f(e)\n    return @", "f (line 6)"),
    ],
)  # fmt: skip
def test_no_line_where_something_unknown_is_called(
    helpers: str, body: str, what: str, tmp_path: Path
) -> None:
    """The lines that are read would be innocent."""
    file = tmp_path / "a.py"
    body = body.replace("return @", "return {'dW': dW, 'db': e}")
    its = f"def backward(x, y, W, b):\n    e = x @ W + b - y\n    {body}\n"
    file.write_text(f"import numpy as np\n{helpers}\n{its}")
    source = source_in_file(f"{file}:backward")
    assert source is not None
    found = own_lines(source, FORM, ["W"], ["b"])
    assert found is not None
    assert found.lines == ()
    assert what in found.unknown
    # What is right shows that the unknown is not to blame.
    assert own_lines(source, FORM, ["b"], ["W"]) is not None


def test_a_decorator_may_change_the_gradients(tmp_path: Path) -> None:
    text = "@clipped\ndef backward(x, y, W, b):\n    dW = x @ y\n    return dW, y\n"
    (tmp_path / "a.py").write_text(text)
    source = source_in_file(f"{tmp_path}/a.py:backward")
    assert source is not None
    found = own_lines(source, FORM, ["W"], ["b"])
    assert found is not None
    assert (found.lines, found.unknown) == ((), "a decorator (line 2) is not followed")


@pytest.mark.parametrize(
    "text",
    [
        "def backward(x, y, W, b):\n    return " + "(" * 150 + "x" + ")" * 150 + ", y\n",
        "def backward(x, y, W, b):\n    return " + "-" * 3000 + "x, y\n",
        "def backward(x, y, W, b):\n    return x" + " + x" * 3000 + ", y\n",
        "def backward(x, y, W, b):\n" + "    b = x + b\n" * 2000 + "    return b, y\n",
        "def backward(x, y, W, b):\n    return x\0, y\n",
    ],
    ids=["brackets", "signs", "terms", "statements", "a null byte"],
)
def test_a_source_that_cannot_be_read_is_no_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(text)
    source = source_in_file(f"{file}:backward")
    if source is not None:
        own_lines(source, FORM, ["W"], ["b"])


def test_what_the_source_says_is_text(tmp_path: Path) -> None:
    lines = listed("dW = x @ e  # ::error::\x1b[31m\u202e\n    return @", tmp_path)
    assert lines == ["dW = x @ e  # \\x3a:error::\\x1b[31m\\u202e"]


def test_the_report_in_python_has_the_line_of_the_file() -> None:
    space: dict[str, object] = {}
    file = EXAMPLES / "wrong_transpose.py"
    exec(compile(file.read_text(), str(file), "exec"), space)
    with np.errstate(over="ignore"):
        report = check(space["backward"])  # type: ignore[arg-type]
    ((place, text),) = report.lines[0].lines
    assert place == "line 20"
    assert text.startswith("delta = (eps @ V.T + delta @ W)")
    document = report.as_dict()["lines"][0]
    assert document["words"] == "lines with values that lead to dU and dW, not to dV"
    assert document["lines"] == [[place, text]]
