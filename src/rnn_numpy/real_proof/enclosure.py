"""One step of a set of states, enclosed: where can the network be after it, in any evaluation?

A set of class q is `{c + e : |L_q e| <= r}`. With z = c W + x U, D = diag(sigmoid'(z)) and e W of
at most a in each entry, Taylor's formula says that the step leads to

    sigmoid(z) + m + e W D + rest,  m = s a^2 / 4,  |rest| <= b = |s| a^2 / 4 + t a^3 / 6,

entry by entry, where s is the second derivative at z and t bounds the third within a of z. b has
room for the rounding of any evaluation, too; in the metric, rest counts for at most
`sqrt(b^T |P| b)`, P = L^T L.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.params import Params
from rnn_numpy.real_proof.histories import Histories
from rnn_numpy.tasks.targets import Target

#: Outputs h V must be this far from 0, and further by what rounding may move them.
LEAST_OUTPUT = 2.0**-10
#: Room for the arithmetic of this search and of the checker, in a unit's state.
ROOM = 1e-10
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


class Images(NamedTuple):
    """Where sets lead: `centre + L^-1 A u + rest`, |u| <= 1, |rest| <= `rest` in the metric."""

    centre: Float[np.ndarray, "sets hidden"]
    q: Int64[np.ndarray, " sets"]
    rest: Float[np.ndarray, " sets"]
    #: The semi-axes of A u, squared, in ascending order, and their directions in columns.
    axes: Float[np.ndarray, "sets hidden"]
    directions: Float[np.ndarray, "sets hidden hidden"]


class Network:
    """The network and its metric, made ready for enclosing many sets at a time."""

    def __init__(
        self,
        params: Params,
        dtype: str,
        target: Target,
        classes: Histories,
        L: Float[np.ndarray, "classes hidden hidden"],
    ) -> None:
        U, self.W, V = (array.astype(np.float64) for array in params)
        self.V, self.L, self.classes = V[:, 0], L, classes
        self.driven = target.bits(np.arange(2**target.operands)) @ U
        self.inverse = np.linalg.inv(L)
        self.back = self.W.T @ self.inverse
        self.reach = np.linalg.norm(self.back, axis=2)  # of (e W)_k where |L e| <= 1
        self.weight = np.abs(L.swapaxes(1, 2) @ L)
        self.output_reach = np.linalg.norm(self.V @ self.inverse, axis=1)
        self.error, self.least = errors(params, dtype)

    def step(
        self,
        centre: Float[np.ndarray, "sets hidden"],
        radius: Float[np.ndarray, " sets"],
        q: Int64[np.ndarray, " sets"],
        number: Int64[np.ndarray, " sets"],
    ) -> Images:
        """Where these sets are led by the inputs of these numbers."""
        after = self.classes.next[q, number]
        z = centre @ self.W + self.driven[number]
        h, reach = _sigmoid(z), radius[:, np.newaxis] * self.reach[q]
        slope = h * (1 - h)
        second = slope * (1 - 2 * h) * reach**2 / 4
        # The third derivative is at most the first, which grows by at most e^a <= 1 + 2a; and 1/8.
        third = np.where(reach <= 1, np.minimum(slope * (1 + 2 * reach), 1 / 8), 1 / 8)
        b = np.abs(second) + third * reach**3 / 6 + self.error + ROOM
        rest = np.sqrt((b * (self.weight[after] @ b[:, :, np.newaxis])[:, :, 0]).sum(axis=1))
        A = (self.L[after] * slope[:, np.newaxis]) @ self.back[q]
        axes, directions = np.linalg.eigh(A @ A.swapaxes(1, 2))
        axes = np.maximum(axes, 0) * radius[:, np.newaxis] ** 2
        return Images(h + second, after, rest, axes, directions)

    def room(
        self, centre: Float[np.ndarray, "sets hidden"], q: Int64[np.ndarray, " sets"]
    ) -> Float[np.ndarray, " sets"]:
        """How large a set may be so that every state in it says the right bit for certain."""
        return (self._output(centre, q) - self.least) / self.output_reach[q] * (1 - 1e-9)

    def margin(self, centre: Any, radius: Any, q: Any) -> Any:
        """How far h V is from 0, on the right side, everywhere in these sets."""
        return self._output(centre, q) - radius * self.output_reach[q]

    def _output(self, centre: Any, q: Any) -> Any:
        return np.where(self.classes.said[q] == 1, 1, -1) * (centre @ self.V)


def errors(params: Params, dtype: str) -> tuple[float, float]:
    """How far any evaluation of a step, in this dtype, may be off; how far h V must be from 0.

    As docs/proof.md; with one rounding more for weights that are converted to this dtype, and twice
    that, so that a state a little above 1 is covered.
    """
    unit = UNIT_ROUNDOFF[dtype]
    U, W, V = (np.abs(array.astype(np.float64)) for array in params)
    n = len(U) + len(W) + 1
    largest = float(np.concatenate([U, W]).sum(axis=0).max())
    underflow = (n + 1) * 2.0**-125
    step = _gamma(n, unit) * largest / 4 + _gamma(10, unit) + underflow
    return 2 * step, 2 * _gamma(n, unit) * float(V.sum()) + LEAST_OUTPUT


def _gamma(n: int, unit: float) -> float:
    return n * unit / (1 - n * unit)


def _sigmoid(z: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))
