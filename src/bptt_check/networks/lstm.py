"""The long short-term memory (Hochreiter & Schmidhuber 1997, Gers et al. 2000), gates side by side.

Gates i, f, o are sigmoids, g is a tanh: c_t = f c_{t-1} + i g, h_t = o tanh(c_t). Peepholes let i
and f see c_{t-1} and o see c_t.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from bptt_check.networks.losses import loss_named, steps
from bptt_check.networks.network import Network, network


def lstm(loss: str = "softmax", order: str = "ifgo", peepholes: bool = False) -> Network:
    """The LSTM, gates in the order `ifgo` (torch) or `ifog` (CS231n); peepholes p_i, p_f, p_o."""
    loss_function = loss_named(loss)
    if sorted(order) != sorted("ifgo"):
        raise ValueError(f"order must have each of i, f, g, o once, such as ifgo, got {order!r}")

    @network(
        x="time batch n_in",
        h_0="batch hidden",
        c_0="batch hidden",
        U="n_in 4*hidden",
        W="hidden 4*hidden",
        b="4*hidden",
        **({f"p_{gate}": "hidden" for gate in "ifo"} if peepholes else {}),
        **loss_function.axes,
    )
    def lstm(
        x: Tensor, h_0: Tensor, c_0: Tensor, U: Tensor, W: Tensor, b: Tensor, **rest: Tensor
    ) -> Iterator[Tensor]:
        y, h, c = rest.pop("y"), h_0, c_0
        p_i, p_f, p_o = (rest.pop(f"p_{gate}", None) for gate in "ifo")
        for x_t, y_t in steps(x, y):
            gates = (x_t @ U + h @ W + b).chunk(4, 1)
            z_i, z_f, z_g, z_o = (gates[order.index(gate)] for gate in "ifgo")
            i = torch.sigmoid(z_i if p_i is None else z_i + p_i * c)
            f = torch.sigmoid(z_f if p_f is None else z_f + p_f * c)
            g = torch.tanh(z_g)
            c = f * c + i * g
            o = torch.sigmoid(z_o if p_o is None else z_o + p_o * c)
            h = o * torch.tanh(c)
            yield loss_function.at_step(h, y_t, **rest)

    return lstm
