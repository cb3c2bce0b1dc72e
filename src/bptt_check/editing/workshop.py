"""A backward pass whose lines can be changed while it is loaded: the candidate's side of mending.

It runs untrusted code, and imports no torch.
"""

import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from typing import Any, NamedTuple

import numpy as np

from bptt_check.candidate.calling import RATES, Form, Passes, Question, gradients
from bptt_check.candidate.placing import globals_of
from bptt_check.editing.choosing import Chooser
from bptt_check.editing.edits import edits
from bptt_check.editing.loops import of_loops
from bptt_check.editing.program import Edit, Program
from bptt_check.editing.values import Values

_LONGEST = 2.0  # seconds of one run: an edit may make a loop endless
_LARGEST = 10_000  # entries of a global array that is restored before each run
#: In place of an expression, to see what depends on it: a list, or a range, lacks its first item.
_MOVED = (
    "(lambda v: list(v)[1:] if hasattr(v, '__iter__') and not hasattr(v, 'dtype')"
    " else v * 1.25 + 1e-3)({})"
)


class Offer(NamedTuple):
    """An edit, for the other side: `move` is the number of the one that moves what is around it.

    -1 if there is none. Those that only move a value come last, with rank -1.
    """

    function: int
    line: int
    start: int
    end: int
    old: str
    text: str
    rank: int
    move: int


def _leaves_rate_out(edit: Edit) -> bool:
    """Whether the rate of an update is gone, which a rate of 1 would not show."""
    before, after = (set(re.findall(r"\w+", text)) for text in (edit.old, edit.text))
    return bool(before & {*RATES} - after)


class Workshop:
    """A pass, the edits of its lines, and what it returns with some of them.

    Args:
        function: the pass, which is called with `form`.
        questions: the inputs it is run on. The first one shows which lines run; the last one has
            other errors at the outputs, and shows which lines depend on these.
    """

    def __init__(self, function: Any, form: Form, questions: Sequence[Question]) -> None:
        self._gradients, self._questions = partial(gradients, function, form), questions
        self.seconds = 0.0  # of this processor, spent on what was tried
        last = function.functions[-1] if isinstance(function, Passes) else function
        self._globals = globals_of(last).values
        #: Arrays that a run which fails leaves changed, such as sums that are cleared at its end.
        self._arrays = {
            name: value.copy()
            for name in globals_of(last).looked_up
            if isinstance(value := self._globals.get(name), np.ndarray) and value.size <= _LARGEST
        }
        self.program = Program(lambda: self._run(questions[0]))
        functions = self.program.functions
        values, other = (
            Values(functions, lambda question=question: self._run(question))  # type: ignore[misc]
            for question in (questions[0], questions[-1])
        )
        errors = values.differ(other)
        found = [
            edit
            for n, f in enumerate(functions)
            for edit in (*edits(f, n, values.shapes, errors), *of_loops(f, n, values, errors))
            if not (form.rate and _leaves_rate_out(edit))
        ]
        places = dict.fromkeys((e.function, e.line, *e.inside) for e in found if any(e.inside))
        numbers = {place: len(found) + n for n, place in enumerate(places)}
        moves = [numbers.get((e.function, e.line, *e.inside), -1) for e in found]
        self.edits = found + [self._moved(*place) for place in places]
        #: File, first line and text of each function.
        self.functions = [(f.file, f.first, f.text.decode()) for f in functions]
        of = {f: n for n, f in enumerate(functions)}
        self.offers = [
            Offer(of[e.function], e.line, e.start, e.end, e.old, e.text, e.rank, move)
            for e, move in zip(self.edits, moves + [-1] * len(places), strict=True)
        ]

    def _moved(self, function: Any, line: int, start: int, end: int) -> Edit:
        text = _MOVED.format(function.text[start:end].decode())
        return Edit(function, line, start, end, text, rank=-1)

    def tried(self, edits: Sequence[int], question: int) -> dict[str, Any] | None:
        """The gradients with these edits; None if it fails."""
        its, begin = [self.edits[number] for number in edits], time.process_time()
        with self.program.with_edits(its) as valid:
            try:
                return self._run(self._questions[question]) if valid else None
            except Exception:
                return None
            finally:
                self.seconds += time.process_time() - begin

    def likely(self, quantities: Iterable[Iterable[Any]]) -> list[int]:
        """The edits with which more lines compute one of these quantities, at the first problem."""
        its = {number: edit for number, edit in enumerate(self.edits) if edit.back}
        run = partial(self._run, self._questions[0])
        return [*Chooser(self.program, run, its, quantities).choose()]

    def _run(self, question: Question) -> dict[str, Any]:
        self._globals.update({name: array.copy() for name, array in self._arrays.items()})
        with _limited(_LONGEST), redirect_stdout(StringIO()):
            found = self._gradients(question)
        return {name: np.array(array, np.float64, order="C") for name, array in found.items()}


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after these seconds, where that can be done."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)  # of somebody else
