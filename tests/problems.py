"""Random problems to differentiate: hypothesis strategies, and the plain generator behind them."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnn_numpy import Params

Array = np.typing.NDArray[Any]


class Problem(NamedTuple):
    """Everything that a gradient depends on."""

    params: Params
    x: Array
    targets: Array
    h_0: Array

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.x.dtype


def problem(
    seed: int,
    time: int,
    batch: int,
    n_in: int,
    hidden: int,
    n_out: int,
    scale: float = 1.0,
    x_scale: float = 1.0,
    dtype: str = "float64",
) -> Problem:
    """Normally distributed weights (`scale`), inputs (`x_scale`), targets and first state (1)."""
    rng = np.random.default_rng(seed)

    def normal(size: float, *shape: int) -> Array:
        return (size * rng.standard_normal(shape)).astype(dtype)

    params = Params(
        normal(scale, n_in, hidden), normal(scale, hidden, hidden), normal(scale, hidden, n_out)
    )
    x, targets = normal(x_scale, time, batch, n_in), normal(1, time, batch, n_out)
    return Problem(params, x, targets, normal(1, batch, hidden))


# Five independent sizes; 1 is the size where shapes coincide and mistakes hide.
times, sizes = st.integers(1, 8), st.integers(1, 4)
dtypes = st.sampled_from(["float64", "float32"])

#: Filled from a generator: no entry is like another, so no mistake hides behind symmetry.
generated = st.builds(
    problem,
    seed=st.integers(0, 2**32 - 1),
    time=times,
    batch=sizes,
    n_in=sizes,
    hidden=st.integers(1, 5),
    n_out=sizes,
    scale=st.sampled_from([0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0]),
    x_scale=st.sampled_from([0.1, 1.0, 10.0]),
    dtype=dtypes,
)


@st.composite
def corners(draw: st.DrawFn) -> Problem:
    """Drawn entry by entry from the edges: zeros, subnormals, saturation; small, for shrinking."""
    dtype = np.dtype(draw(dtypes))
    time, batch, n_in, hidden, n_out = draw(st.tuples(*[st.integers(1, 3)] * 5))
    tiny = float(np.finfo(dtype).tiny)
    edges = [0.0, -0.0, 1.0, -1.0, 0.5, 30.0, -30.0, 100.0, -1000.0, tiny, -tiny / 4, 1e-5]

    def array(*shape: int) -> Array:
        # fill: a default one would make most entries equal.
        entries = st.sampled_from(edges)
        return draw(hnp.arrays(dtype, shape, elements=entries, fill=st.nothing()))

    params = Params(array(n_in, hidden), array(hidden, hidden), array(hidden, n_out))
    return Problem(
        params, array(time, batch, n_in), array(time, batch, n_out), array(batch, hidden)
    )


problems = st.one_of(generated, generated, generated, corners())
