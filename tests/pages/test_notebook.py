"""The notebooks of examples: their cells run in order and print what is stored."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from page_sessions import masked

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Other lines have entries that depend on the processor.
SAME = (
    "WRONG",
    "RIGHT",
    "Where in time",
    "loss t=",
    "It behaves",
    "  in the network",
    "    line ",
    "Is the oracle",
    "h_n",
    "columns",
)


@pytest.mark.unannotated
@pytest.mark.parametrize("notebook", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_cells_print_what_is_stored(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    compared = 0
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        *body, last = ast.parse("".join(cell["source"])).body
        exec(compile(ast.Module(body, []), notebook.name, "exec"), space)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), notebook.name, "eval"), space)
        else:
            exec(compile(ast.Module([last], []), notebook.name, "exec"), space)
        printed = capsys.readouterr().out
        for output in cell["outputs"]:
            stored = "".join(output.get("text") or output["data"]["text/plain"])
            shown = [
                [masked(line) for line in text.splitlines() if line.startswith(SAME)]
                for text in (stored, printed or repr(value))
            ]
            assert shown[0] == shown[1]
            compared += len(shown[0])
        if value is not None:
            assert value._repr_html_().startswith("<iframe srcdoc=")
    assert compared > 10
