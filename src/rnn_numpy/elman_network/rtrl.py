"""The gradient by real-time recurrent learning: derivatives carried forward in time.

R. J. Williams, D. Zipser: A learning algorithm for continually running fully recurrent neural
networks, Neural Computation 1(2), 1989. Differentiating (1) and (2) with respect to a weight gives
the sensitivity of h_t from that of h_{t-1},

    (12)  dh_t/dU_ab = h_t (1 - h_t) (x_t[a] [unit b] + dh_{t-1}/dU_ab W)
    (13)  dh_t/dW_ab = h_t (1 - h_t) (h_{t-1}[a] [unit b] + dh_{t-1}/dW_ab W)

and each loss is differentiated at its own step; no past state is stored. A step costs
O(hidden^4), so this is an oracle for small networks. It shares no code with
`rnn_numpy.elman_network.model`.
"""

import numpy as np
from jaxtyping import Float

from rnn_numpy.elman_network.params import Params, check_problem


def rtrl(
    params: Params,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    h_0: Float[np.ndarray, "batch hidden"] | None = None,
) -> Params:
    """The gradient of the squared error (4) with respect to U, W, V, computed forward in time.

    Raises:
        TypeError, ValueError: as `rnn_numpy.forward`.
    """
    h = check_problem(params, x, h_0, targets)
    U, W, V = params
    (n_in, hidden), batch = U.shape, len(h)
    dh_dU = np.zeros((batch, n_in, hidden, hidden), U.dtype)  # [:, a, b, i]: dh_t[i] / dU[a, b]
    dh_dW = np.zeros((batch, hidden, hidden, hidden), U.dtype)
    unit = np.eye(hidden, dtype=U.dtype)
    dU, dW, dV = (np.zeros_like(weights) for weights in params)
    for x_t, y_t in zip(x, targets, strict=True):
        h_prev = h
        h = _logistic(np.einsum("ni,ih->nh", x_t, U) + np.einsum("ni,ih->nh", h_prev, W))
        slope = (h * (1 - h))[:, np.newaxis, np.newaxis, :]
        dh_dU = slope * (np.einsum("na,bi->nabi", x_t, unit) + dh_dU @ W)  # (12)
        dh_dW = slope * (np.einsum("na,bi->nabi", h_prev, unit) + dh_dW @ W)  # (13)
        o = _logistic(np.einsum("nh,ho->no", h, V))
        error = (o - y_t) * o * (1 - o)
        dE_dh = np.einsum("no,ho->nh", error, V)
        dU += np.einsum("ni,nabi->ab", dE_dh, dh_dU)
        dW += np.einsum("ni,nabi->ab", dE_dh, dh_dW)
        dV += np.einsum("nh,no->ho", h, error)
    return Params(dU, dW, dV)


def _logistic(z: Float[np.ndarray, "batch n"]) -> Float[np.ndarray, "batch n"]:
    """The sigmoid, without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z < 0, small, 1) / (1 + small)
