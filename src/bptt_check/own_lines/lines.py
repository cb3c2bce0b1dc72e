"""The lines of a backward pass that lead to its wrong gradients, and not to its right ones.

They narrow the search; which of them is wrong, they do not say.
"""

import ast
from collections.abc import Sequence
from typing import NamedTuple

from bptt_check.candidate.calling import Form
from bptt_check.candidate.escaping import shown
from bptt_check.own_lines.data_flow import Assignment, DataFlow, TooLong
from bptt_check.own_lines.source import Source, source_in_file, source_of

__all__ = ["OwnLines", "Source", "own_lines", "source_in_file", "source_of"]

_MOST = 24  # lines; more narrow nothing
_LONGEST = 200  # characters of a line
_LARGEST = 500  # statements of a function that is read


class OwnLines(NamedTuple):
    """Lines of the candidate with their places; `words`: which ones.

    A place is `line 12`, or `cell 3, line 7` of a notebook. `unknown`: why there are none, where
    what leads to a wrong gradient cannot be read.
    """

    words: str
    lines: tuple[tuple[str, str], ...]
    unknown: str = ""

    @property
    def places(self) -> str:
        """All places: `line 3, 5; cell 2, line 1, 4`, without a `line` in front of the first."""
        groups: dict[str, list[str]] = {}
        for where, _ in self.lines:
            before, _, number = where.rpartition("line ")
            groups.setdefault(before, []).append(number)
        return "; ".join(f"{k}{'line ' * bool(k)}{', '.join(n)}" for k, n in groups.items())


def own_lines(
    source: Source, form: Form, wrong: Sequence[str], right: Sequence[str]
) -> OwnLines | None:
    """The lines that lead from the inputs to all wrong gradients, or to each of them.

    None if there are none, if they are many, or if the source is not understood.

    Args:
        source: the backward pass.
        form: what it is called with, and what it returns.
        wrong, right: the inputs whose gradients are wrong, and those whose gradients are right.
    """
    if sum(isinstance(node, ast.stmt) for node in ast.walk(source.function)) > _LARGEST:
        return None
    try:
        flow = DataFlow(source, form)
    except (RecursionError, TooLong):
        return OwnLines("", (), "there are too many ways through it")
    if not set(wrong) <= set(flow.gradients):
        return None
    blank = {n for n, each in enumerate(flow.assignments) if each.blank}
    returns = {n for n, each in enumerate(flow.assignments) if each.plain or each.misnamed}
    if any(flow.before(flow.gradients[name]) <= blank | returns for name in wrong):
        return None  # nothing seems to write it: perhaps it has a second name
    # What a right gradient reads as a whole is right, too: no mistake comes through it.
    right_ones = [n for name in right for n in flow.gradients.get(name, ())]
    cleared = flow.before(right_ones, surely=True) | blank
    cleared -= _unordered(flow, cleared)
    ways = {name: flow.before(flow.gradients[name], right=cleared) for name in wrong}
    left = {name: [flow.assignments[d] for d in its] for name, its in ways.items()}
    if unknown := sorted(
        {(a.node.lineno, a.unknown.strip()) for its in left.values() for a in its if a.unknown}
    ):
        called = "; ".join(f"{shown(what)} ({source.place(n)})" for n, what in unknown[:3])
        return OwnLines("", (), f"{called} is not followed")
    parts = [{_place(a) for a in its if not a.plain} for its in left.values()]
    dull = {(source.function.lineno, source.function.lineno)}  # the parameters
    together = set.intersection(*parts) - dull
    others = {_place(a) for its in left.values() for a in its if a.misnamed}
    places = sorted((together or set.union(*parts) - dull) | others)
    if not 0 < len(places) <= _MOST:
        return None
    but = f", not to {_joined(right, 'or')}" if right else ""
    words = f"lines with values that lead to {_joined(wrong, 'and' if together else 'or')}{but}"
    return OwnLines(words, tuple((source.place(p[0]), _text(source, *p)) for p in places))


def _unordered(flow: DataFlow, right: set[int]) -> set[int]:
    """The loops whose order what is right does not show: it has no value made of an earlier one."""
    in_order = {
        number
        for each in right
        for number in flow.assignments[each].reads
        if each in flow.before(flow.assignments[each].reads)
    }
    return {n for n in right if flow.assignments[n].loop and not {n, ~n} & in_order}


def _place(assignment: Assignment) -> tuple[int, int]:
    """Its first and its last line; of a statement with a body, its first line only."""
    node = assignment.node
    return node.lineno, node.lineno if hasattr(node, "body") else node.end_lineno or node.lineno


def _text(source: Source, first: int, last: int) -> str:
    text = " ".join(line.strip() for line in source.lines[first - 1 : last])
    return shown(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ...")


def _joined(names: Sequence[str], word: str) -> str:
    *most, last = [f"d{name}" for name in names]
    return f"{', '.join(most)} {word} {last}" if most else last
