"""The functions that a backward pass runs, in the files that define them; they run with edits."""

import ast
import gc
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from bptt_check.candidate.placing import is_edit_of

VISITS = 12  # of each line that are looked at, at most
_PATHS = sysconfig.get_paths()
#: What lies there is no user's code.
_LIBRARIES = (*(_PATHS[k] for k in ("stdlib", "platstdlib", "purelib", "platlib")),)
_LIBRARIES += (str(Path(__file__).parents[1]), "<frozen")
_INSTALLED = {"site-packages", "dist-packages"}  # also of another environment on the path


@dataclass(frozen=True)
class Edit:
    """A piece of a function's text, from octet `start` to `end`, and what stands there instead.

    `inside`: the expression around it. `rank`: small for what is tried and said first. `back`: the
    line of the statement, if that reads what depends on the errors at the outputs; else 0.
    """

    function: "Function" = field(repr=False)
    line: int
    start: int
    end: int
    text: str
    inside: tuple[int, int] = field(default=(0, 0), compare=False)
    rank: int = field(default=3, compare=False)
    back: int = field(default=0, compare=False)

    @property
    def old(self) -> str:
        """What stands there."""
        return self.function.text[self.start : self.end].decode()


@dataclass(eq=False)
class Function:
    """A function of a user's file: its lines from `first` on, and all objects made of it."""

    file: str
    first: int
    text: bytes
    code: CodeType
    objects: list[FunctionType]

    def source(self, text: bytes) -> str:
        """Python with this text of the definition, at the lines of the file."""
        outer, captured = self.code.co_qualname.split(".")[:-1], self.code.co_freevars
        head = "if 1:\n" if text[:1] in b" \t" else ""
        if outer and outer[-1] != "<locals>":
            head = f"class {outer[-1]}:\n"
        elif captured:
            head = f"def outer({', '.join(captured)}):\n"
        return "\n" * (self.first - 1 - bool(head)) + head + text.decode()

    def tree(self) -> ast.AST:
        """The definition; raises SyntaxError if it cannot be read alone."""
        return ast.parse(self.source(self.text))

    def span(self, node: Any) -> tuple[int, int]:
        """The octets of its text where a node of its tree stands."""
        ends = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        first, last = (self._starts[line - self.first] + column for line, column in ends)
        return first, last

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(map(len, self.text.splitlines(keepends=True)))]

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """Its text with these edits."""
        return apply_to(self.text, [(e.start, e.end, e.text) for e in edits])

    def compiled(self, edits: Iterable[Edit]) -> CodeType | None:
        """Its code with these edits; None if that is no Python."""
        try:
            source = self.source(self.edited(edits))
            module = compile(source, self.file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return None
        own = self.code
        for code in inner(module):
            if (code.co_name, code.co_firstlineno) == (own.co_name, own.co_firstlineno):
                is_edit_of(code, own)
                return code if code.co_freevars == own.co_freevars else None
        return None

    def run(self, code: CodeType) -> None:
        """Let all its objects run this code."""
        for each in self.objects:
            each.__code__ = code


def apply_to(text: bytes, edits: Iterable[tuple[int, int, str]]) -> bytes:
    """The text with each piece, from one octet to another, replaced."""
    for start, end, other in sorted(edits, reverse=True):
        text = text[:start] + other.encode() + text[end:]
    return text


def inner(code: CodeType) -> Iterator[CodeType]:
    """The code of the functions in it."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from inner(each)


class Program:
    """The functions of users' files that run in a call."""

    def __init__(self, run: Callable[[], object]) -> None:
        codes = _executed(run)
        found = (_function(code, codes) for code in codes)
        self.functions = [f for f in found if f is not None and f.compiled([]) is not None]
        self._codes: dict[tuple[Edit, ...], CodeType | None] = {}

    @contextmanager
    def with_edits(self, edits: Sequence[Edit]) -> Iterator[bool]:
        """The functions with these edits, while in this context; False if that is no Python."""
        codes = {edit.function: self._code(edit.function, edits) for edit in edits}
        valid = None not in codes.values()
        try:
            for function, code in codes.items():
                function.run(code if valid and code else function.code)
            yield valid
        finally:
            for function in codes:
                function.run(function.code)

    def _code(self, function: Function, edits: Sequence[Edit]) -> CodeType | None:
        its = tuple(e for e in edits if e.function is function)
        if its not in self._codes:
            self._codes[its] = function.compiled(its)
        return self._codes[its]


def _executed(run: Callable[[], object]) -> list[CodeType]:
    """The code of users' functions that run."""
    codes: dict[CodeType, None] = {}

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code not in codes and _is_users(frame.f_code):
            codes[frame.f_code] = None

    with traced(note):
        run()
    return [*codes]


@contextmanager
def traced(trace: Callable[[Any, str, Any], Any]) -> Iterator[None]:
    """Trace what runs in this context, as `sys.settrace` does."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _is_users(code: CodeType) -> bool:
    file = code.co_filename
    is_installed = file.startswith(_LIBRARIES) or _INSTALLED & {*Path(file).parts}
    return not is_installed and bool(linecache.getlines(file))


def _function(code: CodeType, codes: list[CodeType]) -> Function | None:
    """The function of this code; None for one that another of these functions makes."""
    lines = linecache.getlines(code.co_filename)
    objects = [f for f in gc.get_referrers(code) if isinstance(f, FunctionType)]
    is_inner = any(code in inner(other) for other in codes if other is not code)
    if is_inner or not objects or not code.co_name.isidentifier():  # as "<lambda>" is not
        return None
    first = code.co_firstlineno
    text = "".join(inspect.getblock(lines[first - 1 :])).encode()
    return Function(code.co_filename, first, text, code, objects)
