"""The engines in NumPy: plain SGD, (1)-(11) of docs/bptt.md for a batch of one example or more.

`CompiledSGD` runs the recipe's loop as a compiled kernel, `NumPySGD` in NumPy: the input projection
and the weight gradients are single matrix products, and all updates are in place.
`rnn_numpy.training.many.train_many` trains many networks.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.compiled import native
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.tasks.addition import encode_batches, encode_pairs
from rnn_numpy.training.recipe import Diverged, Engine, Learner, Recipe

#: Largest number of hidden units for which the kernel is faster than NumPy's BLAS; at 128 it is
#: slower (benchmarks/speed/online.py).
MOST_HIDDEN_COMPILED = 96


class NumPySGD(Learner):
    """Plain SGD on (4), summed over a batch, from a copy of these weights; in NumPy."""

    def __init__(self, params: Params, recipe: Recipe) -> None:
        check_params(params)
        self.weights = Params(*(np.array(array, order="C") for array in params))
        self.bits, self.batch_size = recipe.bits, recipe.batch_size
        self.learning_rate, self.dtype = recipe.learning_rate, params.W.dtype
        self.stride = max(1, 100 // recipe.batch_size)

    def descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch 1"]:
        """As `Learner.descend`; ValueError if the number of pairs is no multiple of the batch."""
        batch = self.batch_size
        steps, rest = divmod(len(pairs), batch)
        if rest:
            raise ValueError(f"the number of pairs must be a multiple of {batch}, got {len(pairs)}")
        before = [array.copy() for array in self.weights]
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = self._descend(pairs)
        if all(np.isfinite(array).all() for array in self.weights):
            return outputs[..., np.newaxis]
        # A weight that is not finite stays so: take the steps again to find the first one.
        for array, kept in zip(self.weights, before, strict=True):
            array[:] = kept
        if steps == 1:
            raise Diverged(0)
        half = steps // 2
        self.descend(pairs[: half * batch])
        try:
            return self.descend(pairs[half * batch :])
        except Diverged as diverged:
            raise Diverged(half + diverged.steps) from None

    def params(self) -> Params:
        """As `Learner.params`."""
        return Params(*map(np.copy, self.weights))

    def gradient(self, pairs: Int64[np.ndarray, "batch 2"]) -> Params:
        """The gradient of this batch, computed by the code of the SGD step."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._differentiate(*encode_pairs(pairs, self.bits, self.dtype))[1]

    def _descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch"]:
        """Take the steps in place without checks; return the outputs for the last, before it."""
        for x, y in zip(
            *encode_batches(pairs, self.bits, self.batch_size, self.dtype), strict=True
        ):
            outputs, gradient = self._differentiate(x, y)
            for array, slope in zip(self.weights, gradient, strict=True):
                slope *= self.learning_rate
                array -= slope
        return outputs.reshape(self.bits, self.batch_size)

    def _differentiate(self, x: Any, y: Any) -> tuple[Any, Params]:
        """The outputs for one batch, and the gradient; rows are ordered by step, then example."""
        U, W, V = self.weights
        x, y = x.reshape(-1, len(U)), y.reshape(-1, 1)
        states = np.zeros((self.bits + 1, self.batch_size, len(W)), self.dtype)  # h_0 = 0 first
        h = states[1:].reshape(-1, len(W))  # the same memory
        np.dot(x, U, out=h)
        _sigmoid(states[1])
        for h_prev, h_t in pairwise(states[1:]):
            h_t += np.dot(h_prev, W)  # (1)
            _sigmoid(h_t)  # (2)
        o = np.dot(h, V)
        _sigmoid(o)  # (3)

        eps = (o - y) * o * (1 - o)  # (6)
        slopes = (h * (1 - h)).reshape(states[1:].shape)
        delta, W_T = np.dot(eps, V.T), W.T
        by_step = list(delta.reshape(states[1:].shape))
        by_step[-1] *= slopes[-1]
        for t in range(self.bits - 2, -1, -1):
            by_step[t] += np.dot(by_step[t + 1], W_T)  # (7)
            by_step[t] *= slopes[t]  # (8)
        before = states[:-1].reshape(-1, len(W))
        return o, Params(np.dot(x.T, delta), np.dot(before.T, delta), np.dot(h.T, eps))  # (9)-(11)


class CompiledSGD(NumPySGD):
    """The recipe's loop as a compiled kernel; raises ModuleNotFoundError if that is not built."""

    def __init__(self, params: Params, recipe: Recipe) -> None:
        super().__init__(params, recipe)
        bits, hidden = recipe.bits, len(params.W)
        # A step costs about 4 x bits x hidden^2 multiplications and additions.
        self.stride = max(1, min(1000, 10**7 // (bits * hidden**2)) // recipe.batch_size)
        sizes = ((bits + 1) * hidden, bits * hidden, bits, hidden**2)
        self._workspace = [np.empty(size, self.dtype) for size in sizes]
        self._kernel = native.kernel("descend", self.dtype)

    def gradient(self, pairs: Int64[np.ndarray, "batch 2"]) -> Params:
        """As `NumPySGD.gradient`."""
        result = Params(*map(np.zeros_like, self.weights))
        self._run(result, pairs, -1.0)
        return result

    def _descend(self, pairs: Int64[np.ndarray, "examples 2"]) -> Float[np.ndarray, "bits batch"]:
        if self.batch_size == 1:
            outputs = self._run(self.weights, pairs, self.learning_rate)
        else:
            for batch in pairs.reshape(-1, self.batch_size, 2):
                gradient = Params(*map(np.zeros_like, self.weights))
                outputs = self._run(gradient, batch, -1.0)
                for array, slope in zip(self.weights, gradient, strict=True):
                    array -= self.learning_rate * slope
        return outputs[-self.batch_size :].T

    def _run(
        self, into: Params, pairs: Int64[np.ndarray, "examples 2"], rate: float
    ) -> Float[np.ndarray, "examples bits"]:
        """Subtract rate times each example's gradient from `into`; return the earlier outputs."""
        pairs = np.ascontiguousarray(pairs)
        sizes = (len(pairs), self.bits, len(self.weights.W))
        outputs = np.empty((len(pairs), self.bits), self.dtype)
        arrays, after = (*self.weights, *into, pairs), (outputs, *self._workspace)
        addresses, workspace = ([a.ctypes.data for a in some] for some in (arrays, after))
        self._kernel(*addresses, *sizes, rate, *workspace)
        return outputs


def choose(name: str | None, hidden: int) -> Engine:
    """The engine of this name, or the faster one for this size; raises as `engine_for`."""
    name = engine_for(hidden, name)
    return Engine(name, CompiledSGD if name == "compiled" else NumPySGD)


def engine_for(hidden: int, engine: str | None = None) -> str:
    """The given engine, or the faster one: compiled, if it is built and suits the size.

    ValueError if that is to be compiled and the kernels are not built, or RNN_KERNELS is wrong.
    """
    if native.available():
        native.variant()
    if engine is None:
        fits = native.available() and hidden <= MOST_HIDDEN_COMPILED
        engine = "compiled" if fits else "numpy"
    if engine == "compiled" and not native.available():
        raise ValueError(f"the compiled engine is not built: {native.INSTALL}")
    return engine


def _sigmoid(z: np.ndarray) -> None:
    np.negative(z, z)
    np.exp(z, z)
    np.add(z, 1, z)
    np.reciprocal(z, z)
