"""Helpers for your own tests: a hypothesis strategy of problems, and assertions with a report.

    from hypothesis import given
    from rnn_torch.testing import assert_gradient_parity, problems

    @given(problems())
    def test_my_backward(problem):
        assert_gradient_parity(my_backward, problem)

`problems` needs hypothesis, the extra `testing`; the rest does not.
"""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING

from rnn_numpy.elman_network.textbook import Backward
from rnn_torch.checker.candidate import CannotCheck, in_this_process
from rnn_torch.checker.compare import compare_gradients
from rnn_torch.checker.examine import examine
from rnn_torch.checker.parity import agrees, blind_to, reference, worst_entries
from rnn_torch.checker.problems import Problem, Shapes
from rnn_torch.reports.text import as_text, table

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    Problems = SearchStrategy[Problem]
else:
    Problems = object

__all__ = ["Problem", "assert_gradient_parity", "compare_gradients", "problems"]


def assert_gradient_parity(
    backward: Backward,
    given: Problem | Sequence[Problem] | None = None,
    *,
    dtype: str = "float64",
    window: int | None = None,
    shapes: str = "any",
) -> None:
    """Raise AssertionError, its message the screen of `rnn_torch.check`, if `backward` is wrong.

    Args:
        backward: `backward(x, y, U, W, V) -> (dU, dW, dV)`, or a mapping with these keys.
        given: one problem (from `problems()`, say), or several; left out, the designed set and
            random ones of this `dtype`. Warns if several cannot tell some catalogued mistake.
        window: compare with BPTT truncated to this many steps back.
        shapes: the sizes that it takes, as `--shapes` of the command: "any"; "recipe", x (8, 2),
            y (8, 1), without a batch axis, and 16 hidden units; or "time,batch,n_in,hidden,n_out".

    Raises:
        AssertionError: it does not agree with autograd to within rounding.
        CannotCheck: it gave no answer that could be judged.
        ValueError: other `shapes`, or a given problem that has not these.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, and the screen
    takes = Shapes.parse(shapes)
    several = [given] if isinstance(given, Problem) else given
    for one in several or ():
        if takes.only not in (None, one.sizes):
            raise ValueError(f"given must have the sizes of shapes, {takes.only}, got {one.sizes}")
    if several is not None and several is given and (blind := blind_to(several, window)):
        warnings.warn(
            f"these problems cannot tell from the truth: {', '.join(blind)}", stacklevel=2
        )
    try:
        failure = _failure(backward, several, dtype, window, takes)
    except Exception as error:
        error.__traceback__ = _of_others(error)
        raise
    if failure:
        raise AssertionError(failure)


def _failure(
    backward: Backward,
    several: Sequence[Problem] | None,
    dtype: str,
    window: int | None,
    shapes: Shapes,
) -> str:
    """What an assertion says, or nothing if all is right."""
    if several is None:
        return _screen(backward, dtype, window, shapes)
    for one in several:
        answer, right = in_this_process(backward, shapes)(one), reference(one, window)
        if agrees(answer.gradient, right) and agrees(answer.second, right) and not answer.impure:
            continue
        entries = worst_entries(answer, right, one)
        says = table(entries)
        if all(entry.right for entry in entries):
            seen = answer.impure or ("a second call gives another gradient",)
            says = f"Not a pure function: {', '.join(seen)}"
        return f"{says}\n\n{_screen(backward, one.dtype.name, window, shapes)}".rstrip()
    return ""


@lru_cache(maxsize=4)  # hypothesis asks again and again while it shrinks
def _screen(backward: Backward, dtype: str, window: int | None, shapes: Shapes) -> str:
    ask = in_this_process(backward, shapes)
    report = examine(ask, dtype=dtype, window=window, shapes=shapes)
    return "" if report.right else as_text(report, getattr(backward, "__name__", "backward"))


def _of_others(error: Exception) -> TracebackType | None:
    """Where an error arose, from the first line that is not of this project; if none is, all."""
    frames = error.__traceback__
    while frames and _is_ours(frames):
        frames = frames.tb_next
    return frames if frames or isinstance(error, CannotCheck) else error.__traceback__


def _is_ours(frames: TracebackType) -> bool:
    package = frames.tb_frame.f_globals.get("__name__", "").partition(".")[0]
    return package in ("rnn_numpy", "rnn_torch")


def problems(dtype: str | None = None, *, corners: bool = True, shapes: str = "any") -> Problems:
    """Random problems: general ones, long ones, and (`corners`) some from the number range's edges.

    Args:
        dtype: float32 or float64; either if left out.
        shapes: their sizes, as in `assert_gradient_parity`.

    Raises:
        ModuleNotFoundError: hypothesis is not installed.
        ValueError: other `shapes`.
    """
    try:
        from rnn_torch.checker import strategies
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        needs = "problems needs hypothesis: pip install 'rnn-bptt-reference[testing]'"
        raise ModuleNotFoundError(needs, name=error.name) from None
    return strategies.problems(dtype, Shapes.parse(shapes).only, corners=corners)
