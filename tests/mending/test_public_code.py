"""The benchmark of published passes: its data are whole, and it counts lines rightly."""

import json
import shutil
from importlib import import_module
from pathlib import Path

from benchmarks.trust import public
from benchmarks.trust.public.form import Pass
from benchmarks.trust.public_code import (
    ROOT,
    Declared,
    changes,
    declared,
    judged,
    number,
    published,
)
from profiles import nightly
from rnn_torch.networks import Network


def test_each_pass_has_a_name_of_its_own_and_a_network() -> None:
    passes = [*declared()]
    assert len({p.its.name for p in passes}) == len(passes) == 32
    for p in passes:
        module = import_module(f"{public.__name__}.{p.kind}.{p.file.stem}")
        assert isinstance(getattr(module, p.its.network), Network)


def test_each_adapter_is_of_a_pass() -> None:
    adapters = {p.adapter for p in declared()} - {None}
    assert adapters == {*Path(public.__file__).parent.glob("*/adapters/*.py")}


def test_a_line_of_a_notebook_is_found_in_its_text(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "code", "source": ["a = 1\n", "b = 2"]},
        {"cell_type": "markdown", "source": ["text"]},
        {"cell_type": "code", "source": []},
        {"cell_type": "code", "source": ["c = 3\n", "d = 4"]},
    ]
    file = tmp_path / "notebook.ipynb"
    file.write_text(json.dumps({"cells": cells}, indent=1))
    at = number({"file": str(file), "place": "cell 3, line 2"}, file)
    assert "d = 4" in file.read_text().split("\n")[at - 1]
    assert number({"file": str(tmp_path / "other.py"), "place": "line 2"}, file) == 0


@nightly
def test_changed_lines_are_counted(tmp_path: Path) -> None:
    its = Pass("ours", "us/ours", "", "pass.py", "loss_and_gradients", "char_rnn")
    its = its._replace(wrong=((5,), (27, 28)), on_purpose=(3,))
    file = published(its, tmp_path)
    file.parent.mkdir()
    shutil.copy(ROOT / "examples/wrong_char_rnn.py", file)
    found = judged(Declared(its, "wrong", ROOT / "examples/char_rnn.py"), tmp_path)
    assert found["as expected"]
    assert found["mended"]
    assert (found["wrong lines"], found["of these changed"]) == (2, 1)
    assert found["innocent lines changed"] == []
    lines = [{"file": str(file), "place": f"line {n}"} for n in (3, 4)]
    found = changes(its, lines, file)
    assert found["of these changed"] == 0
    assert found["innocent lines changed"] == ["line 4 of pass.py"]
