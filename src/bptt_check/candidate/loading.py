"""Import a function from an untrusted file: a module, a file of a package, or a notebook."""

import ast
import builtins
import importlib
import importlib.util
import io
import json
import linecache
import os
import re
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any

from bptt_check.candidate.calling import Passes
from bptt_check.candidate.nearest import nearest
from bptt_check.candidate.placing import LEFT_OUT
from bptt_check.candidate.returned import Refused, parts_returned
from bptt_check.candidate.training_loop import NAME, with_function

#: Of each file that has been read, the number of lines before every code cell, as linecache.cache.
_CELLS: dict[str, list[int]] = {}
#: What is read in place of files, by their real paths.
_INSTEAD: dict[str, str] = {}
_CELL_MAGIC_OF_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


def load_function(
    file: str, name: str, definitions_only: bool = False
) -> Callable[..., Any] | Passes:
    """Run the file and return a function of it.

    Args:
        file: a .py or .ipynb file.
        name: `function`, `Class.method`, two of them, `forward,backward`, to call in order, or the
            beginning of a training loop, `for j in range`; its function may have `notes`.
        definitions_only: run only its imports, functions, classes, and constants without calls;
            leave out those that fail, such as the import of a missing package.

    Raises:
        Refused: there is no such function, or the file is neither a Python file nor a notebook.
        Exception: whatever the file raises.
    """
    text, notes = _text(file), list[str]()
    if name.startswith("for "):
        text, notes = with_function(text, name, file)
        name = NAME
    module, left_out = _run(file, text, definitions_only)
    found: list[tuple[Any, Any]] = []
    for each in name.split(","):
        owner: Any = None
        function: Any = module
        for part in each.split("."):
            owner, function = function, getattr(function, part, None)
        if not callable(function):
            but = f"; statements that fail were left out: {left_out}" if left_out else ""
            known = _functions(module)
            its = ", ".join(known) or "none at all: put the backward pass into a function"
            hint = nearest(each, known)
            raise Refused(f"{file} has no function {each!r}{hint or ';'} it has {its}{but}")
        plain = isinstance(vars(owner).get(each.rpartition(".")[2]), staticmethod | classmethod)
        found.append((None if plain or not isinstance(owner, type) else owner, function))
        parts_returned(function)  # caches them for the forks that answer the questions
    classes = {of for of, _ in found}
    if len(classes) > 1:
        raise Refused(f"{name} must be functions, or methods of one class")
    of = classes.pop()
    if of is None and len(found) == 1:
        only: Callable[..., Any] = found[0][1]
        if notes:
            only.notes = notes  # type: ignore[attr-defined]
        return only
    return Passes([function for _, function in found], of)


def read_instead(texts: Mapping[str, str]) -> None:
    """Read these texts in place of files, whoever opens or imports them: for good."""
    _INSTEAD.update({os.path.realpath(f): t.replace("\r\n", "\n") for f, t in texts.items()})
    if not texts:
        return
    real_open, real_data = open, SourceFileLoader.get_data

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        path = os.path.realpath(file) if isinstance(file, str | os.PathLike) else ""
        text = None if path.endswith(".ipynb") else _INSTEAD.get(path)  # `_text` reads these
        if text is None or set(mode) & {"w", "a", "x", "+"}:
            return real_open(file, mode, *args, **kwargs)
        return io.BytesIO(text.encode()) if "b" in mode else io.StringIO(text)

    def data(self: SourceFileLoader, path: str) -> bytes:
        its = os.path.realpath(self.path)
        if its in _INSTEAD and os.path.realpath(path) != its:
            raise OSError("a compiled file of another text")
        return _INSTEAD[its].encode() if its in _INSTEAD else real_data(self, path)

    builtins.open = io.open = opened
    SourceFileLoader.get_data = data  # type: ignore[method-assign, assignment]


def functions_in(file: str) -> list[str]:
    """`NAME(ARGUMENTS), line N` for each public function and method of a file, without running it.

    Raises:
        Refused: the file is neither a Python file nor a notebook.
        OSError, ValueError, SyntaxError: it cannot be read.
    """
    body = ast.parse(_text(file), file).body
    methods = [
        (f"{of.name}.", node) for of in body if isinstance(of, ast.ClassDef) for node in of.body
    ]
    return [
        f"{of}{node.name}({ast.unparse(node.args)}), {place(file, node.lineno)}"
        for of, node in [*(("", node) for node in body), *methods]
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def _functions(module: ModuleType) -> list[str]:
    """The names of a module's public functions."""
    return [
        n for n, v in vars(module).items() if callable(v) and not n.startswith("_")
        and getattr(v, "__module__", module.__name__) == module.__name__
    ]  # fmt: skip


def _run(file: str, text: str, definitions_only: bool) -> tuple[ModuleType, str]:
    """The module, and the statements that were left out because they fail, as text."""
    path = Path(file)
    unread: list[str] = []
    tree = _parsed_in_part(text, file, unread) if definitions_only else ast.parse(text, file)
    # Like a script, the file can import the modules in its folder.
    folder = path.resolve().parent
    sys.path.insert(0, str(folder))
    folders: list[Path] = []
    while (folder / "__init__.py").exists():  # a file of a package, which may use relative imports
        folders, folder = [folder, *folders], folder.parent
    package = ".".join(each.name for each in folders)
    if package:
        sys.path.insert(0, str(folder))
        _import_package(folders, definitions_only)
    name = f"{package}.{path.stem}" if package else path.stem
    module = ModuleType(name)
    module.__file__, module.__package__ = str(path.absolute()), package
    vars(module)["xrange"] = range  # Python 2's name
    sys.modules[name] = module
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    if not definitions_only:
        exec(compile(tree, file, "exec"), vars(module))
        return module, ""
    failed: list[str] = []
    for node in filter(_defines, tree.body):
        try:
            _define(node, file, vars(module))
        except Exception as error:
            if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                failed.append(f"{place(file, node.lineno)} ({type(error).__name__}: {error})")
    omitted = [*failed, *unread]
    more = f" and {len(omitted) - 4} more" if len(omitted) > 4 else ""
    left_out = "; ".join(omitted[:4]) + more
    vars(module)[LEFT_OUT] = left_out
    return module, left_out


def parsed(file: str) -> tuple[str, ast.Module]:
    """The source of the file or notebook, and its tree without what cannot be read.

    Raises:
        Refused: it is no Python file or notebook.
        OSError, ValueError, SyntaxError: it cannot be read.
    """
    text = _text(file)
    return text, _parsed_in_part(text, file, [])


def place(file: str, line: int) -> str:
    """`line 7`, or `cell 3, line 7` of a notebook that has been read; code cells count from 1."""
    before = [start for start in _CELLS.get(file, ()) if start < line]
    return f"cell {len(before)}, line {line - before[-1]}" if before else f"line {line}"


def has_read(file: str) -> bool:
    """Whether this process has read a file as a contributor's."""
    return file in _CELLS


def _text(file: str) -> str:
    """The Python source of a file or notebook."""
    path, instead = Path(file), _INSTEAD.get(os.path.realpath(file))
    if path.suffix not in (".py", ".ipynb"):
        raise Refused(f"{file} is no Python file: its name must end in .py or .ipynb")
    if path.suffix == ".py":
        _CELLS[file] = []
        return path.read_bytes().decode("utf-8-sig") if instead is None else instead
    cells = _cells(file)
    lengths = [cell.count("\n") + 1 for cell in cells]
    _CELLS[file] = [0, *accumulate(lengths)][: len(cells)]
    return "\n".join(cells) if instead is None else instead


def _define(node: ast.stmt, file: str, values: dict[str, Any]) -> None:
    """Run a definition; use None for a default value that a statement not run would define."""
    code = compile(ast.Module([node], []), file, "exec")
    try:
        exec(code, values)
    except NameError as error:
        if not isinstance(node, ast.FunctionDef):
            raise
        missing = str(error.name)
        values[missing] = None
        try:
            exec(code, values)
        finally:
            del values[missing]


def _import_package(folders: list[Path], definitions_only: bool) -> None:
    """Import a package; if that fails, make empty ones, so that the files in them can be imported.

    Without `definitions_only` the failure is raised.
    """
    names = [".".join(f.name for f in folders[: i + 1]) for i in range(len(folders))]
    try:
        importlib.import_module(names[-1])
    except Exception:
        if not definitions_only:
            raise
        for name, folder in zip(names, folders, strict=True):
            sys.modules[name] = bare = ModuleType(name)
            bare.__path__ = [str(folder)]


def _parsed_in_part(text: str, file: str, left_out: list[str]) -> ast.Module:
    """The statements that can be parsed, with their line numbers; Python 2 has others."""
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
            left_out.append(f"{place(file, error.lineno or 1)} ({type(error).__name__})")
            lines[start : end + 1] = [""] * (end + 1 - start)


def _defines(node: ast.stmt) -> bool:
    """Whether a statement is an import, a definition, or a constant without calls."""
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        calls = any(isinstance(each, ast.Call) for each in ast.walk(node))
        changes = any(isinstance(each, ast.Subscript) for each in targets)
        return isinstance(getattr(node, "value", None), ast.Lambda) or not (calls or changes)
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    return isinstance(node, kinds)


def _cells(file: str) -> list[str]:
    """The code cells of a notebook; IPython's own lines are empty."""
    try:
        cells = json.loads(Path(file).read_bytes())["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{file} cannot be read as a notebook ({error})") from None
    texts = []
    for cell in sources:
        its = cell.splitlines()
        magic = its[0].split()[0] if its and its[0].startswith("%%") else ""
        if magic and magic not in _CELL_MAGIC_OF_PYTHON:
            its = [""] * len(its)
        ours = [re.sub(r"^(\s*)[%!].*|^(\s*)[\w.]+\?{1,2}\s*$", _no_op, line) for line in its]
        texts.append("\n".join([*ours, ""]))
    return texts


def _no_op(found: re.Match[str]) -> str:
    """An empty line, or `pass` with the indent of a line in a block."""
    indent = found[1] or found[2] or ""
    return f"{indent}pass" if indent else ""
