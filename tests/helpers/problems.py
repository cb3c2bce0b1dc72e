"""Problems for the tests: those of `rnn_torch.testing`, with an initial state."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from rnn_numpy import Params
from rnn_torch import testing

Array = np.typing.NDArray[Any]


class Problem(NamedTuple):
    """All arguments of a gradient."""

    params: Params
    x: Array
    targets: Array
    h_0: Array

    def __repr__(self) -> str:
        """Its shapes: hypothesis warns of more than some thousand characters."""
        return f"Problem({', '.join(str(a.shape) for a in (*self.params, self.x, self.h_0))})"

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.x.dtype


def with_state(drawn: testing.Problem, seed: int, size: float) -> Problem:
    """A problem that starts from a normally distributed state."""
    x, y, U, W, V = (drawn.values[name] for name in ("x", "y", "U", "W", "V"))
    h_0 = size * np.random.default_rng(seed).standard_normal((x.shape[1], len(W)))
    return Problem(Params(U, W, V), x, y, h_0.astype(x.dtype))


def drawn(
    seed: int,
    sizes: tuple[int, int, int, int, int],
    *,
    scale: float = 1.0,
    x_scale: float = 1.0,
    target_scale: float = 1.0,
    dtype: str = "float64",
    name: str = "",
) -> testing.Problem:
    """Normally distributed weights, inputs and targets, times their scales.

    Args:
        sizes: time, batch, n_in, hidden, n_out.
    """
    rng = np.random.default_rng(seed)
    time, batch, n_in, hidden, n_out = sizes
    parts = {
        "U": (scale, (n_in, hidden)),
        "W": (scale, (hidden, hidden)),
        "V": (scale, (hidden, n_out)),
        "x": (x_scale, (time, batch, n_in)),
        "y": (target_scale, (time, batch, n_out)),
    }
    values = {n: (s * rng.standard_normal(shape)).astype(dtype) for n, (s, shape) in parts.items()}
    names = dict(zip(("time", "batch", "n_in", "hidden", "n_out"), sizes, strict=True))
    ordered = {n: values[n] for n in ("x", "y", "U", "W", "V")}
    return testing.Problem(name, names, ordered, dtype)


def problem(
    seed: int, time: int, batch: int, n_in: int, hidden: int, n_out: int, **scales: Any
) -> Problem:
    """One random problem; the scales are those of `drawn`."""
    return with_state(drawn(seed, (time, batch, n_in, hidden, n_out), **scales), seed, 1)


def strategy(*, corners: bool) -> st.SearchStrategy[Problem]:
    return st.builds(
        with_state,
        testing.problems(corners=corners),
        seed=st.integers(0, 2**32 - 1),
        size=st.sampled_from([1.0, 0.0, 30.0]),
    )


generated = strategy(corners=False)
problems = strategy(corners=True)
