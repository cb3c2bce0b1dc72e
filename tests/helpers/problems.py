"""Problems for the tests: those of `rnn_torch.testing`, with an initial state."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from rnn_numpy import Params
from rnn_torch import testing
from rnn_torch.elman_by_hand import problems as library

Array = np.typing.NDArray[Any]


class Problem(NamedTuple):
    """All arguments of a gradient."""

    params: Params
    x: Array
    targets: Array
    h_0: Array

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.x.dtype


def with_state(drawn: library.Problem, seed: int, size: float) -> Problem:
    """A problem that starts from a normally distributed state."""
    shape = drawn.sizes.batch, drawn.sizes.hidden
    h_0 = size * np.random.default_rng(seed).standard_normal(shape)
    return Problem(drawn.params, drawn.x, drawn.targets, h_0.astype(drawn.dtype))


def problem(
    seed: int, time: int, batch: int, n_in: int, hidden: int, n_out: int, **scales: Any
) -> Problem:
    """One random problem; the scales are those of `rnn_torch.elman_by_hand.problems.problem`."""
    sizes = library.Sizes(time, batch, n_in, hidden, n_out)
    return with_state(library.problem(seed, sizes, **scales), seed, 1)


def strategy(*, corners: bool) -> st.SearchStrategy[Problem]:
    return st.builds(
        with_state,
        testing.problems(corners=corners),
        seed=st.integers(0, 2**32 - 1),
        size=st.sampled_from([1.0, 0.0, 30.0]),
    )


generated = strategy(corners=False)
problems = strategy(corners=True)
