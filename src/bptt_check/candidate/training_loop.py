"""Make a pass of the training loop of a script that adds numbers and has no function.

The body of the loop becomes a function in the same lines: it gets the weights, and numbers in place
of the bits that the script draws, and returns the weights that it has updated. Which variables are
the bits and the weights is seen when the body runs once: two arrays of bits, of whose numbers a
third one is the sum; changed matrices of the shapes of U, W and V.
"""

import ast
import copy
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from bptt_check.candidate.returned import Refused

#: The function that the body becomes.
NAME = "training_step"
_RUNS = 20  # of the body: other arrays of bits are no sum in all of them
_PRINT = re.compile(r"^([ \t]*)print[ \t]+[^(\s].*$", re.MULTILINE)  # of Python 2


class _Seen(NamedTuple):
    """The names of the two operands and the target, the weights' by input, and what is wrong."""

    bits: tuple[str, ...]
    reverses: bool  # whether the first bit is the most significant
    weights: dict[str, str]
    notes: list[str]


def with_function(text: str, loop: str, file: str) -> tuple[str, list[str]]:
    """The text with a function in place of the loop, and what is wrong but for the gradient.

    Raises:
        Refused: there is no such loop, or what it trains is not seen.
    """
    text = _PRINT.sub(r"\1pass", text)
    lines = text.splitlines()
    node = _loop(ast.parse(text, file), loop, lines)
    before = ast.parse("\n".join(lines[: node.lineno - 1]), file)
    space: dict[str, Any] = {"__name__": "script", "xrange": range}
    with redirect_stdout(io.StringIO()):
        exec(compile(before, file, "exec"), space)
        seen = _seen(node, space, file)
    return _rewritten(lines, node, seen, set(space)), seen.notes


def _loop(tree: ast.Module, loop: str, lines: list[str]) -> ast.For:
    loops = [n for n in tree.body if isinstance(n, ast.For) and isinstance(n.target, ast.Name)]
    for node in loops:
        if lines[node.lineno - 1].startswith(loop) and node.body[0].lineno > node.lineno:
            return node
    known = "; ".join(repr(lines[n.lineno - 1].rstrip(": ")) for n in loops)
    raise Refused(f"no loop of the script begins with {loop!r}; it has {known or 'none'}")


def _seen(node: ast.For, space: Mapping[str, Any], file: str) -> _Seen:
    """What the body draws and changes, from some runs."""
    code = compile(ast.Module(node.body, []), file, "exec")
    assert isinstance(node.target, ast.Name)
    assigned = dict(_assigned(node))
    runs = []
    for step in range(_RUNS):
        values = {name: _copied(value) for name, value in space.items()}
        values[node.target.id] = step + 1
        exec(code, values)
        runs.append(values)
    changed = {n: v for n, v in space.items() if _is_changed(v, runs[0].get(n))}
    weights = {_role(matrix): name for name, matrix in changed.items()}
    if weights.keys() != {"U", "W", "V"}:
        shapes = ", ".join(f"{n} {v.shape}" for n, v in changed.items()) or "none"
        raise Refused(
            f"its weights must be (2, hidden), (hidden, hidden), (hidden, 1), got {shapes}"
        )
    bits = [n for n in assigned if all(_is_bits(values.get(n)) for values in runs)]
    if len(bits) < 3:
        raise Refused(f"it must assign two operands and a target, arrays of bits, got {bits}")
    ways = [
        (names, reverses)
        for names in permutations(bits, 3)
        for reverses in (True, False)
        if all(_is_sum([values[n] for n in names], reverses) for values in runs)
    ]
    notes = [] if ways else [f"the target {bits[2]} is not the sum of {bits[0]} and {bits[1]}"]
    if all((changed[name] >= 0).all() for name in weights.values()):
        notes.append("its first weights are all positive: draw them from around 0")
    names, reverses = ways[0] if ways else (tuple(bits[:3]), True)
    return _Seen(names, reverses, weights, notes)


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # a module, say
        return value


def _assigned(node: ast.For) -> Iterator[tuple[str, ast.Assign]]:
    """The names that the body assigns by statements of its own, with these, in order."""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement


def _is_changed(before: Any, after: Any) -> bool:
    """Whether a value is a matrix of weights: not a buffer, which is zero before."""
    both = all(isinstance(each, np.ndarray) and each.ndim == 2 for each in (before, after))
    return both and bool(before.any()) and not np.array_equal(before, after)


def _role(matrix: Any) -> str:
    rows, columns = matrix.shape
    return "W" if rows == columns else "U" if rows == 2 else "V" if columns == 1 else ""


def _is_bits(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and bool(np.isin(value, (0, 1)).all())


def _is_sum(arrays: Sequence[Any], reverses: bool) -> bool:
    """Whether the third number is the sum of the others, as far as it has places."""
    a, b, c = (
        sum(int(bit) << k for k, bit in enumerate(each[::-1] if reverses else each))
        for each in arrays
    )
    return len({len(each) for each in arrays}) == 1 and (a + b) % (1 << len(arrays[0])) == c


def _rewritten(lines: list[str], node: ast.For, seen: _Seen, known: set[str]) -> str:
    """The lines with the function in place of the loop, and nothing behind it."""
    assert isinstance(node.target, ast.Name)
    first = node.body[0].lineno - 1
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    stored = {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    shared = sorted((stored & known) - {*seen.weights.values(), node.target.id})
    weights = ", ".join(seen.weights.values())
    head = f"global {', '.join(shared)}; " * bool(shared)
    head += f"{weights} = {', '.join(f'given_{name}' for name in seen.weights)}; "
    order = "[::-1]" * seen.reverses
    bits = f"given_x{order}[:, 0]", f"given_x{order}[:, 1]", f"given_y{order}[:, 0]"
    given = dict(zip(seen.bits, bits, strict=True))
    for name, statement in _assigned(node):
        if name in given:
            at = (statement.end_lineno or 1) - 1
            end = len(lines[at].encode()[: statement.end_col_offset].decode())
            lines[at] = f"{lines[at][:end]}; {name} = {given[name]}{lines[at][end:]}"
    if first > node.lineno:
        lines[first - 1] = indent + head.rstrip("; ")
    else:
        lines[first] = indent + head + lines[first].lstrip()
    lines[node.lineno - 1] = (
        f"def {NAME}(given_x, given_y, given_U, given_W, given_V, {node.target.id}=1):"
    )
    returned = ", ".join(f"'{name}': {variable}" for name, variable in seen.weights.items())
    return "\n".join([*lines[: node.end_lineno], f"{indent}return {{{returned}}}", ""])
