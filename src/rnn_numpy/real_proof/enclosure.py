"""Enclose the states after one step from a set of states, for every floating-point evaluation.

A set of class q is `{c + e : |L_q e| <= r}`. Let z = c W + x U, D = diag(sigmoid'(z)), and let a
bound the entries of e W. By Taylor's formula the step leads to

    sigmoid(z) + m + e W D + rest,  m = s a^2 / 4,  |rest| <= b = |s| a^2 / 4 + t a^3 / 6,

entry by entry, where s is the second derivative at z and t bounds the third derivative within a of
z. b also has room for the rounding of an evaluation. The norm of rest in the metric is at most
`sqrt(b^T |P| b)`, P = L^T L.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.textbook import sigmoid
from rnn_numpy.real_proof.histories import Histories
from rnn_numpy.tasks.targets import Target

#: Least distance of h V from 0, beside the room for its rounding.
LEAST_OUTPUT = 2.0**-10
#: Room in each entry of the state for the arithmetic of this search and of the checker.
ROOM = 1e-10
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


class Images(NamedTuple):
    """The images of sets: `centre + L^-1 A u + rest`, |u| <= 1, |rest| <= `rest` in the metric."""

    centre: Float[np.ndarray, "sets hidden"]
    q: Int64[np.ndarray, " sets"]
    rest: Float[np.ndarray, " sets"]
    #: The squared semi-axes of A u, in ascending order, and their directions, in columns.
    axes: Float[np.ndarray, "sets hidden"]
    directions: Float[np.ndarray, "sets hidden hidden"]


class Network:
    """The network, evaluated in this dtype, with the metric L of each class; for many sets."""

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
        self.reach = np.linalg.norm(self.back, axis=2)  # largest |(e W)_k| for |L e| <= 1
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
        """The images of these sets of classes q under the inputs of these numbers."""
        after = self.classes.next[q, number]
        z = centre @ self.W + self.driven[number]
        h, reach = sigmoid(z), radius[:, np.newaxis] * self.reach[q]
        slope = h * (1 - h)
        second = slope * (1 - 2 * h) * reach**2 / 4
        # The third derivative is at most 1/8, and at most the first derivative, which grows within
        # a of z by a factor of at most e^a <= 1 + 2a.
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
        """The largest radius with which every state of a set has the right output for certain."""
        return (self._output(centre, q) - self.least) / self.output_reach[q] * (1 - 1e-9)

    def margin(self, centre: Any, radius: Any, q: Any) -> Any:
        """The least distance of h V from 0, on the right side, in each of these sets."""
        return self._output(centre, q) - radius * self.output_reach[q]

    def _output(self, centre: Any, q: Any) -> Any:
        """h V at the centre of each set; positive on the right side of 0."""
        return np.where(self.classes.said[q] == 1, 1, -1) * (centre @ self.V)


def errors(params: Params, dtype: str) -> tuple[float, float]:
    """The error bound of a step's evaluation in this dtype; the least distance of h V from 0.

    The bounds are those of docs/proof.md, with one more rounding for the conversion of the weights
    to this dtype, and doubled for states that rounding puts above 1.
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
