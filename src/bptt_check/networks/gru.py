"""The gated recurrent unit (Cho et al. 2014), its three gates side by side in U, W and b.

Gate r resets, z keeps, n is the candidate: h_t = (1 - z) n + z h_{t-1}. The reset gate is applied
to h_{t-1} W after the product (cuDNN, torch.nn.GRU) or to h_{t-1} before it (Cho et al.).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from bptt_check.networks.losses import loss_named, steps
from bptt_check.networks.network import Network, network


def gru(loss: str = "softmax", reset: str = "after", order: str = "rzn") -> Network:
    """The GRU, gates in this order; d, for `reset="after"`, is the candidate's recurrent bias."""
    loss_function = loss_named(loss)
    if sorted(order) != sorted("rzn"):
        raise ValueError(f"order must have each of r, z, n once, such as rzn, got {order!r}")
    if reset not in ("after", "before"):
        raise ValueError(f"reset must be after or before, got {reset!r}")

    @network(
        x="time batch n_in",
        h_0="batch hidden",
        U="n_in 3*hidden",
        W="hidden 3*hidden",
        b="3*hidden",
        d="hidden",
        **loss_function.axes,
    )
    def gru(
        x: Tensor, h_0: Tensor, U: Tensor, W: Tensor, b: Tensor, d: Tensor, **rest: Tensor
    ) -> Iterator[Tensor]:
        y, h = rest.pop("y"), h_0
        W_r, W_z, W_n = (W.chunk(3, 1)[order.index(gate)] for gate in "rzn")
        for x_t, y_t in steps(x, y):
            gates = (x_t @ U + b).chunk(3, 1)
            x_r, x_z, x_n = (gates[order.index(gate)] for gate in "rzn")
            r = torch.sigmoid(x_r + h @ W_r)
            z = torch.sigmoid(x_z + h @ W_z)
            if reset == "after":
                n = torch.tanh(x_n + r * (h @ W_n + d))
            else:
                n = torch.tanh(x_n + (r * h) @ W_n + d)
            h = (1 - z) * n + z * h
            yield loss_function.at_step(h, y_t, **rest)

    return gru if reset == "after" else gru.without("d")
