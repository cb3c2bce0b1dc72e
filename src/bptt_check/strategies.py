"""Hypothesis strategies for `bptt_check.testing.problems`; only this module imports hypothesis."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bptt_check.networks import Network, Problem, random

_Draw = Any  # st.DrawFn, which a runtime type checker cannot check
_Dtypes = st.SearchStrategy[str]
_Sizes = Mapping[str, int]

#: The least and largest size of time, of batch and of other axes, by kind of problem.
_SPANS = {
    "general": ((1, 8), (1, 4), (1, 6)),
    "strong": ((6, 10), (2, 3), (2, 4)),
    "long": ((11, 40), (1, 2), (1, 4)),
    "wide": ((1, 4), (1, 2), (7, 40)),
    "corner": ((1, 3), (1, 3), (1, 3)),
}


def problems(
    network: Network, fixed: _Sizes, dtype: str | None, *, corners: bool
) -> st.SearchStrategy[Problem]:
    """Like `bptt_check.testing.problems`, with the sizes `fixed`."""
    dtypes = st.sampled_from(["float64", "float32"]) if dtype is None else st.just(dtype)
    kinds = [_drawn(network, fixed, dtypes, kind) for kind in ("general", "strong")]
    kinds += [st.one_of([_drawn(network, fixed, dtypes, kind) for kind in ("long", "wide")])]
    return st.one_of(*kinds, *[_corners(network, fixed, dtypes)] * corners)


def _sizes(draw: _Draw, network: Network, fixed: _Sizes, kind: str) -> dict[str, int]:
    """Independent sizes; at size 1 shapes coincide and hide mistakes, so `strong` has none."""
    time, batch, width = _SPANS[kind]
    spans = {"time": time, "batch": batch}
    free = [name for name in network.axis_names if name not in fixed]
    return {**{name: draw(st.integers(*spans.get(name, width))) for name in free}, **fixed}


@st.composite
def _drawn(draw: _Draw, network: Network, fixed: _Sizes, dtypes: _Dtypes, kind: str) -> Problem:
    """Filled from a random generator: all entries differ, so symmetry hides no mistake."""
    sizes = _sizes(draw, network, fixed, kind)
    seed = draw(st.integers(0, 2**32 - 1))
    (found,) = random(network, draw(dtypes), seed, 1, sizes, moderate=kind == "strong")
    return found._replace(name=kind)


@st.composite
def _corners(draw: _Draw, network: Network, fixed: _Sizes, dtypes: _Dtypes) -> Problem:
    """Entries drawn from extreme values: zeros, subnormals, saturation; small, for shrinking."""
    dtype = np.dtype(draw(dtypes))
    sizes = _sizes(draw, network, fixed, "corner")
    tiny = float(np.finfo(dtype).tiny)
    edges = [0.0, -0.0, 1.0, -1.0, 0.5, 30.0, -30.0, 100.0, -1000.0, tiny, -tiny / 4, 1e-5]
    values = {}
    for name, argument in network.arguments.items():
        elements, kind = st.sampled_from(edges), dtype
        if argument.below:
            count = argument.below.size(sizes)
            elements, kind = st.integers(0, count - 1), np.dtype(np.int64)
        elif argument.between:
            elements = st.sampled_from([float(dtype.type(end)) for end in argument.between])
        # fill: the default would make most entries equal.
        values[name] = draw(
            hnp.arrays(kind, argument.shape(sizes), elements=elements, fill=st.nothing())
        )
        if argument.of_normal:
            values[name] = np.asarray(argument.of_normal(values[name]), dtype)
        if name in network.zeros:
            values[name] = np.zeros_like(values[name])
    return Problem("corner", sizes, values, dtype.name)
