"""Every kind of file that is loaded, and the messages of refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from bptt_check.candidate.calling import Refused, call
from bptt_check.candidate.loading import functions_in, load_function
from bptt_check.process.child import explain
from forms_of_passes import FORM, assert_right, load, question

pytestmark = pytest.mark.unannotated

BODY = "    e = x @ W + b - y\n    dW = x.T @ e\n    return dW, e\n"
PASS = f"def backward(x, y, W, b):\n{BODY}"
SCRIPT = "data = open('input.txt').read()\nchars = list(set(data))\nmodel = train(chars)\n"


def notebook(path: Path, *cells: str) -> str:
    code = [{"cell_type": "code", "source": c.splitlines(keepends=True)} for c in cells]
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# x"]}, *code]}))
    return str(path)


def test_a_function_and_a_method(tmp_path: Path) -> None:
    assert_right(load(tmp_path, PASS), "W", others="e")
    methods = "class A:\n    class B:\n        @staticmethod\n"
    methods += "".join(f"        {line}\n" for line in PASS.splitlines())
    assert_right(load(tmp_path, methods, "A.B.backward"), "W", others="e")
    body = BODY.replace("    ", " " * 8)
    text = f"class A:\n    @classmethod\n    def back(cls, x, y, W, b):\n{body}"
    assert_right(load(tmp_path, text, "A.back"), "W", others="e")


def test_a_byte_order_mark_and_python_2s_range(tmp_path: Path) -> None:
    file = tmp_path / "bom.py"
    file.write_bytes(b"\xef\xbb\xbf" + f"{PASS}    for _ in xrange(1): pass\n".encode())
    assert_right(load_function(str(file), "backward"), "W", others="e")


@pytest.mark.parametrize("init", [None, "from . import __name__ as own\n", "import no_such\n"])
def test_a_neighbour_can_be_imported(tmp_path: Path, init: str | None) -> None:
    """In its folder, in a package in a package, and in one that fails to be imported."""
    name = "alone" if init is None else f"package_{len(init)}"
    folder = tmp_path / name / "inner"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent) if init else ():
        (each / "__init__.py").write_text(init or "")
    beside = folder if init is None else folder.parent
    (beside / f"{name}_products.py").write_text("def product(a, b):\n    return a @ b\n")
    file, dots = folder / "passes.py", "" if init is None else ".."
    text = f"from {dots}{name}_products import product\n{PASS}"
    file.write_text(text.replace("x.T @ e", "product(x.T, e)"))
    if fails := "no_such" in (init or ""):
        with pytest.raises(ModuleNotFoundError, match="no_such"):
            load_function(str(file), "backward")
    function: Any = load_function(str(file), "backward", definitions_only=fails)
    assert function.__globals__["__package__"] == ("" if init is None else f"{name}.inner")
    assert_right(function, "W", others="e")


def test_a_notebook_with_magics(tmp_path: Path) -> None:
    file = notebook(
        tmp_path / "passes.ipynb",
        "%matplotlib inline\nimport numpy as np\n!pip install x\nnp.dot?\nnp.dot??",
        "%%bash\nthis is no Python (",
        "%%time\nSCALE = 1\n",
        "if True:\n    %timeit np.dot(1, 2)\n",
        PASS.replace("x.T @ e", "SCALE * (x.T @ e)"),
    )
    for definitions_only in (False, True):
        assert_right(load_function(file, "backward", definitions_only), "W", others="e")
    # The lines of its functions are known: what is returned has the names of variables.
    file = notebook(tmp_path / "other.ipynb", PASS)
    assert_right(load_function(file, "backward"), "W", others="e")


def test_definitions_only(tmp_path: Path) -> None:
    """Imports, functions, classes and constants are run; other statements are not."""
    text = (
        f"{SCRIPT}SIZE, SCALE = 2 * 8, 1.0\nSCALE += 0\ntable = {{'one': SCALE}}\n"
        "square = lambda a: a * a\nsame = square\n"
        "class Net:\n    pass\nNet.backward = lambda self: None\n"
        "def with_default(p=model):\n    return p\n"
        "W = np.zeros((SIZE, len(chars)))\nW[0] = 1\nprint('trained', model)\n"
        f"{PASS.replace('x.T @ e', 'SCALE * (x.T @ e)')}"
        "def back(self, x, y):\n    return Net.backward(self)\nNet.backward = back\n"
    )
    function: Any = load(tmp_path, text, definitions_only=True)
    values = function.__globals__
    assert (values["SIZE"], values["SCALE"], values["same"](3)) == (16, 1.0, 9)
    assert values["table"] == {"one": 1.0}
    assert values["Net"].backward is values["back"]
    assert values["with_default"]() is None
    assert not {"data", "chars", "model", "W"} & set(values)
    assert_right(function, "W", others="e")
    with pytest.raises(FileNotFoundError):
        load(tmp_path, text)


def test_definitions_only_leaves_out_what_fails(tmp_path: Path) -> None:
    text = (
        "import no_such_module\nfrom no_other_module import softmax\n"
        "class Layer(no_such_module.Base):\n    def back(self): pass\n"
        f"{PASS}def with_softmax(x, y, W, b):\n    return softmax(x @ W)\n"
    )
    assert_right(load(tmp_path, text, definitions_only=True), "W", others="e")
    left_out = r"line 2 \(ModuleNotFoundError: .*no_such_module.*; line 3 .*; line 4 \(NameError"
    with pytest.raises(Refused, match=f"has no function 'Layer'.* fail were left out: {left_out}"):
        load(tmp_path, text, "Layer", definitions_only=True)
    function = load(tmp_path, text, "with_softmax", definitions_only=True)
    with pytest.raises(
        NameError, match=f"'softmax' is not defined; .* fail were left out: {left_out}"
    ):
        call(function, FORM, question())


def test_definitions_only_skips_statements_of_python_2(tmp_path: Path) -> None:
    text = (
        "print 'data has %d characters' % 7\n"
        f"{PASS.replace('    return', '    for t in xrange(2): pass' + chr(10) + '    return')}"
        "def sample(h):\n  print 'two lines'\n\n  return h\n\nclass Late:\n    @staticmethod\n"
        "    def two():\n        return 2\nfor i in xrange(2):\n\tprint i\n"
    )
    function: Any = load(tmp_path, text, definitions_only=True)
    assert_right(function, "W", others="e")
    assert function.__globals__["Late"].two() == 2
    assert "sample" not in function.__globals__
    with pytest.raises(SyntaxError):
        load(tmp_path, text)


REFUSED = [
    ("a.py", PASS, "forward", r"has no function 'forward'; it has backward$"),
    ("a.py", PASS, "backward.inner", r"has no function 'backward.inner': did you mean backward\?"),
    ("a.py", PASS, "np", "has no function 'np'"),
    ("a.py", PASS, "forward,backward", "has no function 'forward'; it has backward"),
    ("a.py", "SIZE = 3\n", "f", "it has none at all: put the backward pass into a function"),
    ("a.py", "\nprint 1", "f", r"has no function 'f'.*line 2 \(SyntaxError\)"),
    ("a.txt", PASS, "backward", r"its name must end in \.py or \.ipynb"),
    ("a.ipynb", "{", "f", "cannot be read as a notebook"),
    ("a.ipynb", "[]", "f", "cannot be read as a notebook"),
    ("a.ipynb", '{"cells": [{"cell_type": "code"}]}', "f", "cannot be read as a notebook"),
]


@pytest.mark.parametrize(("file", "text", "name", "message"), REFUSED)
def test_what_is_refused(tmp_path: Path, file: str, text: str, name: str, message: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(Refused, match=message):
        load_function(str(tmp_path / file), name, definitions_only="print" in text)


def test_a_line_of_a_notebook_is_one_of_a_cell(tmp_path: Path) -> None:
    """In every list and message: functions, statements left out, and exceptions."""
    late = "\n%matplotlib inline\ndef late(x, y):\n    return x.none\n"
    file = notebook(tmp_path / "cells.ipynb", "import no_such_module\n", PASS, late, "print 1\n")
    with pytest.raises(Refused, match=r"left out: cell 1, line 1 \(Module.*; cell 4, line 1 \(Syn"):
        load_function(file, "none", definitions_only=True)
    function: Any = load_function(file, "late", definitions_only=True)
    with pytest.raises(AttributeError) as raised:
        function(1, 2)
    assert explain(raised.value, file).endswith(" (cell 3, line 4)")
    with pytest.raises(SyntaxError) as refused:
        load_function(file, "late")
    assert explain(refused.value, file).endswith(" (cell 4, line 1)")
    book = notebook(tmp_path / "two.ipynb", PASS, late)
    assert [each.partition("), ")[2] for each in functions_in(book)] == [
        "cell 1, line 1", "cell 2, line 3",
    ]  # fmt: skip


def test_an_exception_in_a_file_that_an_adapter_loads(tmp_path: Path) -> None:
    """Its line there is named, not the adapter's; a library's lines are nobody's mistake."""
    far = tmp_path / "far" / "lstm.py"
    far.parent.mkdir()
    far.write_text("import numpy as np\ndef step(x):\n    return np.reshape(x, (3, 1000))\n")
    (tmp_path / "beside.py").write_text("def step(x):\n\n    return x.none\n")
    book = notebook(tmp_path / "far" / "book.ipynb", "", "def step(x):\n    return x + None\n")
    near = tmp_path / "near"
    near.mkdir()
    adapter = near / "adapter.py"
    adapter.write_text(
        "from bptt_check.candidate.loading import load_function\n"
        f"far = load_function({str(far)!r}, 'step')\n"
        f"book = load_function({book!r}, 'step')\n"
        "def of_far(x):\n    return far(x)\n"
        "def of_book(x):\n    return book(x)\n"
        "def its_own(x):\n    return np.reshape(x, 7)\n"
        "import numpy as np\n"
    )
    for name, place in {
        "of_far": " (lstm.py, line 3)",
        "of_book": " (book.ipynb, cell 2, line 2)",
        "its_own": " (line 9)",
    }.items():
        function: Any = load_function(str(adapter), name)
        with pytest.raises((TypeError, ValueError)) as raised:
            function(1.0)
        assert explain(raised.value, str(adapter)).endswith(place)
    importer = tmp_path / "importer.py"
    importer.write_text("from beside import step\ndef back(x):\n    return step(x)\n")
    function = load_function(str(importer), "back")
    with pytest.raises(AttributeError) as beside:
        function(1.0)
    assert explain(beside.value, str(importer)).endswith(" (beside.py, line 3)")
