"""For a contributor's own tests: a hypothesis strategy of problems, and assertions with a screen.

    from hypothesis import given
    from rnn_torch.testing import assert_gradient_parity, problems

    @given(problems())
    def test_my_backward(problem):
        assert_gradient_parity(my_backward, problem)

`problems` needs hypothesis: the extra `testing`.
"""

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnn_numpy.params import Params
from rnn_numpy.textbook import Array, Backward
from rnn_torch.candidate import in_this_process
from rnn_torch.compare import compare_gradients
from rnn_torch.examine import Report, examine
from rnn_torch.parity import agrees, blind_to, reference, worst_entries
from rnn_torch.problems import Problem, Sizes, problem
from rnn_torch.screen import as_text, table

_Draw = Any  # st.DrawFn, which a runtime type checker cannot check

__all__ = ["Problem", "assert_gradient_parity", "compare_gradients", "problems"]


def assert_gradient_parity(
    backward: Backward,
    given: Problem | Sequence[Problem] | None = None,
    *,
    dtype: str = "float64",
    window: int | None = None,
) -> None:
    """Raise AssertionError, its message the screen of `rnn_torch.check`, if `backward` is wrong.

    Args:
        backward: `backward(x, y, U, W, V) -> (dU, dW, dV)`, or a mapping with these keys.
        given: one problem (from `problems()`, say), or several; left out, the designed set and
            random ones of this `dtype`. Warns if several cannot tell some catalogued mistake.
        window: compare with BPTT truncated to this many steps back.

    Raises:
        AssertionError: it does not agree with autograd to within rounding.
        CannotCheck: it gave no answer that could be judged.
    """
    if given is None:
        report = examine(in_this_process(backward), dtype=dtype, window=window)
        if not report.right:
            raise AssertionError(as_text(report, _name(backward)))
        return
    if not isinstance(given, Problem):
        blind = blind_to(given, window)
        if blind:
            warnings.warn(
                f"these problems cannot tell from the truth: {', '.join(blind)}", stacklevel=2
            )
    for one in [given] if isinstance(given, Problem) else given:
        answer, right = in_this_process(backward)(one), reference(one, window)
        if agrees(answer.gradient, right) and agrees(answer.second, right) and not answer.impure:
            continue
        screen = _screen(backward, one.dtype.name, window)
        raise AssertionError(f"{table(worst_entries(answer, right, one))}\n\n{screen}")


@lru_cache(maxsize=4)  # hypothesis asks again and again while it shrinks
def _screen(backward: Backward, dtype: str, window: int | None) -> str:
    report: Report = examine(in_this_process(backward), dtype=dtype, window=window)
    return as_text(report, _name(backward))


def _name(backward: Backward) -> str:
    return getattr(backward, "__name__", "backward")


@st.composite
def _generated(draw: _Draw, dtypes: st.SearchStrategy[str]) -> Problem:
    """Filled from a generator: no entry is like another, so no mistake hides behind symmetry."""
    # Five independent sizes; 1 is the size where shapes coincide and mistakes hide.
    sizes = Sizes(*(draw(st.integers(1, most)) for most in (8, 4, 4, 5, 4)))
    return problem(
        draw(st.integers(0, 2**32 - 1)),
        sizes,
        scale=draw(st.sampled_from([0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0])),
        x_scale=draw(st.sampled_from([0.1, 1.0, 10.0])),
        dtype=draw(dtypes),
        name="generated",
    )


@st.composite
def _strong(draw: _Draw, dtypes: st.SearchStrategy[str]) -> Problem:
    """Long, with no size 1 and middling weights: every mistake has room to show."""
    sizes = Sizes(*(draw(st.integers(*span)) for span in ((6, 10), (2, 3), (2, 3), (2, 4), (2, 3))))
    return problem(
        draw(st.integers(0, 2**32 - 1)),
        sizes,
        scale=draw(st.sampled_from([1.0, 2.0, 4.0])),
        target_scale=draw(st.sampled_from([1.0, 30.0])),
        dtype=draw(dtypes),
        name="strong",
    )


@st.composite
def _corners(draw: _Draw, dtypes: st.SearchStrategy[str]) -> Problem:
    """Drawn entry by entry from the edges: zeros, subnormals, saturation; small, for shrinking."""
    dtype = np.dtype(draw(dtypes))
    time, batch, n_in, hidden, n_out = (draw(st.integers(1, 3)) for _ in range(5))
    tiny = float(np.finfo(dtype).tiny)
    edges = [0.0, -0.0, 1.0, -1.0, 0.5, 30.0, -30.0, 100.0, -1000.0, tiny, -tiny / 4, 1e-5]

    def array(*shape: int) -> Array:
        # fill: a default one would make most entries equal.
        entries = st.sampled_from(edges)
        return draw(hnp.arrays(dtype, shape, elements=entries, fill=st.nothing()))

    params = Params(array(n_in, hidden), array(hidden, hidden), array(hidden, n_out))
    return Problem(params, array(time, batch, n_in), array(time, batch, n_out), "corner")


def problems(dtype: str | None = None, *, corners: bool = True) -> st.SearchStrategy[Problem]:
    """Random problems: general ones, long ones, and (`corners`) some from the number range's edges.

    Args:
        dtype: float32 or float64; either if left out.
    """
    dtypes = st.sampled_from(["float64", "float32"]) if dtype is None else st.just(dtype)
    general = _generated(dtypes)
    kinds = [general, general, _strong(dtypes)] + [_corners(dtypes)] * corners
    return st.one_of(*kinds)
