"""Convert the network to a tanh network and back, so that `torch.nn.RNN` and cuDNN can run it.

Because sigmoid(z) = (1 + tanh(z / 2)) / 2, the substitution h_t = (1 + g_t) / 2 turns (1)-(3) into

    g_t = tanh(x_t U/2 + g_{t-1} W/4 + 1^T W/4),  g_0 = -1,    o_t = sigmoid(g_t V/2 + 1^T V/2)

where 1^T W are W's column sums. Halves and quarters are exact in binary floating point; only the
column sums are rounded.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnn_torch.elman_network.model import ElmanRNN


class TanhElmanRNN(nn.Module):
    """The tanh form of an Elman RNN: `rnn`, a `torch.nn.RNN`, and `readout`, a `torch.nn.Linear`.

    `forward` takes and returns the states of the sigmoid form, as `ElmanRNN.forward`.
    """

    def __init__(self, rnn: nn.RNN, readout: nn.Linear) -> None:
        super().__init__()
        self.rnn = rnn
        self.readout = readout

    def forward(
        self,
        x: Float[Tensor, "time batch n_in"],
        h_0: Float[Tensor, "batch hidden"] | None = None,
    ) -> tuple[Float[Tensor, "time batch n_out"], Float[Tensor, "time batch hidden"]]:
        """The outputs o_1 ... o_T and the states h_1 ... h_T; h_0 is zero if left out."""
        if h_0 is None:
            g_0 = x.new_full((1, x.shape[1], self.rnn.hidden_size), -1.0)
        else:
            g_0 = 2 * h_0.unsqueeze(0) - 1
        g, _ = self.rnn(x, g_0)
        return torch.sigmoid(self.readout(g)), (1 + g) / 2


def to_nn_rnn(model: ElmanRNN) -> TanhElmanRNN:
    """A copy of the network in its tanh form, on the same device and in the same dtype."""
    U, W, V = (p.detach() for p in (model.U, model.W, model.V))
    n_in, hidden, n_out = len(U), len(W), V.shape[1]
    options: dict[str, Any] = {"device": W.device, "dtype": W.dtype}
    rnn = nn.RNN(n_in, hidden, **options)
    readout = nn.Linear(hidden, n_out, **options)
    with torch.no_grad():
        rnn.get_parameter("weight_ih_l0").copy_(U.mT / 2)
        rnn.get_parameter("weight_hh_l0").copy_(W.mT / 4)
        rnn.get_parameter("bias_ih_l0").copy_(W.sum(0) / 4)
        rnn.get_parameter("bias_hh_l0").zero_()
        readout.weight.copy_(V.mT / 2)
        readout.bias.copy_(V.sum(0) / 2)
    return TanhElmanRNN(rnn, readout)


def from_nn_rnn(tanh: TanhElmanRNN) -> ElmanRNN:
    """A copy of the network in its sigmoid form: the inverse of `to_nn_rnn`, without rounding.

    Raises:
        ValueError: `rnn` has several layers, two directions, relu, no biases or the batch first,
            or biases other than the column sums: an `ElmanRNN` has no biases.
    """
    rnn, readout = tanh.rnn, tanh.readout
    wanted = {
        "mode": "RNN_TANH",
        "num_layers": 1,
        "bidirectional": False,
        "bias": True,
        "batch_first": False,
    }
    for name, value in wanted.items():
        if getattr(rnn, name) != value:
            raise ValueError(f"rnn.{name} must be {value!r}, got {getattr(rnn, name)!r}")
    if readout.bias is None or readout.in_features != rnn.hidden_size:
        raise ValueError(
            f"readout must be a Linear({rnn.hidden_size}, n_out) with a bias, got {readout}"
        )
    with torch.no_grad():
        U, W = 2 * rnn.get_parameter("weight_ih_l0").mT, 4 * rnn.get_parameter("weight_hh_l0").mT
        V = 2 * readout.weight.mT
        bias = rnn.get_parameter("bias_ih_l0") + rnn.get_parameter("bias_hh_l0")
        _check_bias("rnn.bias_ih_l0 + rnn.bias_hh_l0", bias, W / 4)
        _check_bias("readout.bias", readout.bias, V / 2)
        model = ElmanRNN(len(U), len(W), V.shape[1], device=W.device, dtype=W.dtype)
        for name, values in (("U", U), ("W", W), ("V", V)):
            getattr(model, name).copy_(values)
    return model


def _check_bias(name: str, bias: Tensor, weights: Tensor) -> None:
    """Raise ValueError unless `bias` is the column sums of `weights`, to within rounding."""
    wanted = weights.double().sum(0)
    roundings = len(weights) + 2  # those of the additions, and two to spare
    allowed = roundings * torch.finfo(bias.dtype).eps * weights.double().abs().sum(0)
    if not bool(((bias.double() - wanted).abs() <= allowed).all()):
        raise ValueError(
            f"{name} must be the column sums {wanted.tolist()} of a network without biases, "
            f"got {bias.tolist()}"
        )
