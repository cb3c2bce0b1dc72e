"""Hypothesis strategies for `rnn_torch.testing.problems`; only this module imports hypothesis."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.textbook import Array
from rnn_torch.elman_by_hand.problems import Problem, Sizes, problem

_Draw = Any  # st.DrawFn, which a runtime type checker cannot check
_Dtypes = st.SearchStrategy[str]


def problems(dtype: str | None, only: Sizes | None, *, corners: bool) -> st.SearchStrategy[Problem]:
    """Like `rnn_torch.testing.problems`, with the sizes `only` if given."""
    dtypes = st.sampled_from(["float64", "float32"]) if dtype is None else st.just(dtype)
    general = _generated(dtypes, only)
    kinds = [general, general, _strong(dtypes, only)] + [_corners(dtypes, only)] * corners
    return st.one_of(*kinds)


@st.composite
def _generated(draw: _Draw, dtypes: _Dtypes, only: Sizes | None) -> Problem:
    """Filled from a random generator: all entries differ, so symmetry hides no mistake."""
    # Five independent sizes; at size 1 shapes coincide and hide mistakes.
    sizes = only or Sizes(*(draw(st.integers(1, most)) for most in (8, 4, 4, 5, 4)))
    return problem(
        draw(st.integers(0, 2**32 - 1)),
        sizes,
        scale=draw(st.sampled_from([0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0])),
        x_scale=draw(st.sampled_from([0.1, 1.0, 10.0])),
        dtype=draw(dtypes),
        name="generated",
    )


@st.composite
def _strong(draw: _Draw, dtypes: _Dtypes, only: Sizes | None) -> Problem:
    """Long, without size 1, with moderate weights: suited to detect every mistake."""
    spans = (6, 10), (2, 3), (2, 3), (2, 4), (2, 3)
    sizes = only or Sizes(*(draw(st.integers(*span)) for span in spans))
    return problem(
        draw(st.integers(0, 2**32 - 1)),
        sizes,
        scale=draw(st.sampled_from([1.0, 2.0, 4.0])),
        target_scale=draw(st.sampled_from([1.0, 30.0])),
        dtype=draw(dtypes),
        name="strong",
    )


@st.composite
def _corners(draw: _Draw, dtypes: _Dtypes, only: Sizes | None) -> Problem:
    """Entries drawn from extreme values: zeros, subnormals, saturation; small, for shrinking."""
    dtype = np.dtype(draw(dtypes))
    time, batch, n_in, hidden, n_out = only or (draw(st.integers(1, 3)) for _ in range(5))
    tiny = float(np.finfo(dtype).tiny)
    edges = [0.0, -0.0, 1.0, -1.0, 0.5, 30.0, -30.0, 100.0, -1000.0, tiny, -tiny / 4, 1e-5]

    def array(*shape: int) -> Array:
        # fill: the default would make most entries equal.
        entries = st.sampled_from(edges)
        return draw(hnp.arrays(dtype, shape, elements=entries, fill=st.nothing()))

    params = Params(array(n_in, hidden), array(hidden, hidden), array(hidden, n_out))
    return Problem(params, array(time, batch, n_in), array(time, batch, n_out), "corner")
