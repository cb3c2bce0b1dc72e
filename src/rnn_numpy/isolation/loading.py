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

from rnn_numpy.isolation.calling import Passes
from rnn_numpy.isolation.returned import Refused

_CELL_MAGIC_OF_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


def load_function(
    file: str, name: str, definitions_only: bool = False
) -> Callable[..., Any] | Passes:
    """Run the file and take the function out of it.

    Args:
        name: `function`, `Class.method`, or `forward,backward`: two of them, one after the other.
        definitions_only: run its imports, functions, classes and plain constants alone; those that
            fail, as an import of what is not installed, are left out.

    Raises:
        Refused: no such function.
        Exception: whatever the file raises.
    """
    module, left_out = _run(file, definitions_only)
    found: list[tuple[Any, Any]] = []
    for each in name.split(","):
        owner: Any = None
        function: Any = module
        for part in each.split("."):
            owner, function = function, getattr(function, part, None)
        if not callable(function):
            but = f"; left out, since they fail: {'; '.join(left_out)}" if left_out else ""
            raise Refused(f"{file} has no function {each!r}; it has {_functions(module)}{but}")
        plain = isinstance(vars(owner).get(each.rpartition(".")[2]), staticmethod | classmethod)
        found.append((None if plain or not isinstance(owner, type) else owner, function))
    classes = {of for of, _ in found}
    if len(classes) > 1:
        raise Refused(f"{name} must be functions, or methods of one class")
    of = classes.pop()
    if of is None and len(found) == 1:
        only: Callable[..., Any] = found[0][1]
        return only
    return Passes([function for _, function in found], of)


def _functions(module: ModuleType) -> str:
    known = [
        n for n, v in vars(module).items() if callable(v) and not n.startswith("_")
        and getattr(v, "__module__", module.__name__) == module.__name__
    ]  # fmt: skip
    return ", ".join(known) or "none at all: put the backward pass into a function"


def _run(file: str, definitions_only: bool) -> tuple[ModuleType, list[str]]:
    """The module, and what was left out of it because it fails."""
    path = Path(file)
    if path.suffix not in (".py", ".ipynb"):
        raise Refused(f"{file} is no Python file: its name must end in .py or .ipynb")
    text = _cells(file) if path.suffix == ".ipynb" else path.read_bytes().decode("utf-8-sig")
    left_out: list[str] = []
    tree = _parsed_in_part(text, file, left_out) if definitions_only else ast.parse(text, file)
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
    vars(module)["xrange"] = range  # as Python 2 calls it
    sys.modules[name] = module
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    if not definitions_only:
        exec(compile(tree, file, "exec"), vars(module))
        return module, []
    for node in filter(_defines, tree.body):
        try:
            exec(compile(ast.Module([node], []), file, "exec"), vars(module))
        except Exception as error:
            left_out.append(f"line {node.lineno} ({type(error).__name__}: {error})")
    return module, left_out


def _parsed_in_part(text: str, file: str, left_out: list[str]) -> ast.Module:
    """The statements that can be read, each at its line: those of Python 2 often cannot."""
    lines = text.splitlines()
    while True:
        try:
            return ast.parse("\n".join(lines), file)
        except SyntaxError as error:
            start = end = min(error.lineno or 1, len(lines)) - 1
            while start > 0 and lines[start][:1] in (" ", "\t", ""):
                start -= 1
            while end + 1 < len(lines) and lines[end + 1][:1] in (" ", "\t", ""):
                end += 1
            if not any(lines[start : end + 1]):
                raise
            left_out.append(f"line {error.lineno} ({type(error).__name__}: {error.msg})")
            lines[start : end + 1] = [""] * (end + 1 - start)


def _defines(node: ast.stmt) -> bool:
    """Whether a statement of a module only defines: a constant is one that can be read off."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(each, ast.Subscript) for each in targets):
            return False
        try:
            ast.literal_eval(node.value or ast.Constant(None))
        except ValueError:  # a function may be given another name, or to a class
            return isinstance(node.value, ast.Lambda | ast.Name | ast.Attribute)
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
