"""Take a function out of a stranger's file: a module, a file of a package, a notebook, a class."""

import ast
import importlib
import importlib.util
import json
import linecache
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from rnn_numpy.isolation.calling import Method, Refused

_CELL_MAGIC_OF_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


def load_function(file: str, name: str, definitions_only: bool = False) -> Callable[..., Any]:
    """Run the file and take the function out of it: `name`, or `Class.method`.

    Args:
        definitions_only: run its imports, functions, classes and plain constants alone.

    Raises:
        Refused: no such function.
        Exception: whatever the file raises.
    """
    module = _run(file, definitions_only)
    function: Any = module
    owner: Any = None
    for part in name.split("."):
        owner, function = function, getattr(function, part, None)
    if not callable(function):
        raise Refused(f"{file} has no function {name!r}; it has {_functions(module)}")
    if isinstance(owner, type) and not isinstance(
        vars(owner).get(name.rpartition(".")[2]), staticmethod | classmethod
    ):
        return Method(owner, name.rpartition(".")[2])
    made: Callable[..., Any] = function
    return made


def _functions(module: ModuleType) -> str:
    known = [
        n for n, v in vars(module).items() if callable(v) and not n.startswith("_")
        and getattr(v, "__module__", module.__name__) == module.__name__
    ]  # fmt: skip
    return ", ".join(known) or "none at all: put the backward pass into a function"


def _run(file: str, definitions_only: bool) -> ModuleType:
    path = Path(file)
    if path.suffix not in (".py", ".ipynb"):
        raise Refused(f"{file} is no Python file: its name must end in .py or .ipynb")
    text = _cells(file) if path.suffix == ".ipynb" else path.read_bytes().decode("utf-8-sig")
    tree = ast.parse(text, file)
    if definitions_only:
        tree.body = [node for node in tree.body if _defines(node)]
    # As if the file were run by itself: what lies beside it can be imported.
    folder = path.resolve().parent
    sys.path.insert(0, str(folder))
    package = ""
    while (folder / "__init__.py").exists():  # a file of a package, which may import relatively
        package, folder = f"{folder.name}.{package}".rstrip("."), folder.parent
    if package:
        sys.path.insert(0, str(folder))
        importlib.import_module(package)
    name = f"{package}.{path.stem}" if package else path.stem
    module = ModuleType(name)
    module.__file__, module.__package__ = file, package
    sys.modules[name] = module
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(tree, file, "exec"), vars(module))
    return module


def _defines(node: ast.stmt) -> bool:
    """Whether a statement of a module only defines: a constant is one that can be read off."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        try:
            ast.literal_eval(node.value or ast.Constant(None))
        except ValueError:
            return isinstance(node.value, ast.Lambda)
        return True
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    return isinstance(node, kinds)


def _cells(file: str) -> str:
    """The code cells of a notebook as one text; IPython's own lines are empty."""
    try:
        cells = json.loads(Path(file).read_bytes())["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{file} is no notebook that can be read ({error})") from None
    lines: list[str] = []
    for source in sources:
        its = source.splitlines()
        magic = its[0].split()[0] if its and its[0].startswith("%%") else ""
        if magic and magic not in _CELL_MAGIC_OF_PYTHON:
            its = [""] * len(its)
        lines += [re.sub(r"^(\s*)[%!].*|^(\s*)[\w.]+\?{1,2}\s*$", _nothing, line) for line in its]
        lines.append("")
    return "\n".join(lines) + "\n"


def _nothing(found: re.Match[str]) -> str:
    indent = found[1] or found[2] or ""
    return f"{indent}pass" if indent else ""
