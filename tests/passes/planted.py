"""Mistakes that people make, planted in the text of the textbook passes.

They were written without a look at how the judge derives its catalogue, from what is asked and
answered in forums, courses and code review; those with a star were seen before. The tables are in
plants_tanh.py, plants_gru.py and plants_lstm.py; below what is right, each mistake in it:

    - what is right
    + what stands there instead  # where: what a person would call the mistake

or, if that is too long for a line, the comment before it. `where` is a gate (`tanh` where there is
one function only, `gates` for several), the gradient of one argument (`dW`), the path through the
state (`h`) or the cell (`c`), `loss`, `time`, `forward` or `all`.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.passes import edits, plants_gru, plants_lstm, plants_tanh, textbook

Backward = Callable[..., textbook.Gradients]


class Planted(NamedTuple):
    """One mistake, as an edit of the source of `textbook.<network>`."""

    network: str
    where: str
    mistake: str
    old: str
    new: str


def source(network: str) -> str:
    """The source of the right pass."""
    return inspect.getsource(getattr(textbook, network))


def edited(*mistakes: Planted) -> str:
    """The pass with these mistakes, all of one network.

    Raises:
        ValueError: what is to be replaced is not there, or not once.
    """
    return edits.edited(source(mistakes[0].network), ((one.old, one.new) for one in mistakes))


def made(*mistakes: Planted) -> Backward:
    """A new function, without state of earlier calls, that makes these mistakes."""
    space: dict[str, Any] = dict(vars(textbook))
    exec(compile(edited(*mistakes), f"<{mistakes[0].mistake}>", "exec"), space)
    backward: Backward = space[mistakes[0].network]
    return backward


def read(network: str, table: str) -> list[Planted]:
    """The mistakes of a table in the format above."""
    found: list[Planted] = []
    for block in table.strip().split("\n\n"):
        old = "\n".join(re.findall("^- (.*)", block, re.MULTILINE))
        for line in re.findall("^[#+] .*", block, re.MULTILINE):
            new, _, head = line.partition("# ")
            if head:
                where, _, words = head.lstrip("*").partition(": ")
                found.append(Planted(network, where, words, old, new[2:].rstrip()))
            else:
                last = found[-1]
                found[-1] = last._replace(new=f"{last.new}\n{line[2:]}".lstrip("\n"))
    return found


_TABLES = {"tanh": plants_tanh, "gru": plants_gru, "lstm": plants_lstm}
#: One mistake each, as people make them.
PLANTED = [one for name, its in _TABLES.items() for one in read(name, its.PLANTED)]
#: Those that stand in tests/helpers/hand_written.py, too: the judge has been tried on them.
_STARRED = re.findall(r"# \*\w+: (.*)", plants_lstm.PLANTED)
KNOWN = [one for one in PLANTED if one.network == "lstm" and one.mistake in _STARRED]
#: Wrong on purpose, in ways that no catalogue can be expected to have.
STRANGE = [one for name, its in _TABLES.items() for one in read(name, its.STRANGE)]
#: Two at once.
PAIRS = [
    tuple(next(p for p in PLANTED if (p.network, p.mistake) == (name, words)) for words in pair)
    for name, its in _TABLES.items()
    for pair in re.findall(r"^(\w.*)\n& (.*)$", its.PAIRS, re.MULTILINE)
]
