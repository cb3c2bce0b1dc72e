"""Convert the network to a tanh network and back, so that `torch.nn.RNN` and cuDNN can run it.

Because sigmoid(z) = (1 + tanh(z / 2)) / 2, the substitution h_t = (1 + g_t) / 2 turns (1)-(3) into

    g_t = tanh(x_t U/2 + g_{t-1} W/4 + 1^T W/4),  g_0 = -1,    o_t = sigmoid(g_t V/2 + 1^T V/2)

where 1^T W are W's column sums, the only numbers that are rounded.
"""

import torch
from torch import nn

from rnn_torch.elman_network.model import ElmanRNN


def to_nn_rnn(model: ElmanRNN) -> tuple[nn.RNN, nn.Linear]:
    """A copy of the network in its tanh form, on the same device and in the same dtype.

    The first module gives the states g from g_0, the second, of g, the outputs before the sigmoid.
    """
    U, W, V = (p.detach() for p in (model.U, model.W, model.V))
    rnn, readout = nn.RNN(*U.shape).to(W.device, W.dtype), nn.Linear(*V.shape).to(W.device, W.dtype)
    rnn.load_state_dict(
        {"weight_ih_l0": U.mT / 2, "weight_hh_l0": W.mT / 4,
         "bias_ih_l0": W.sum(0) / 4, "bias_hh_l0": torch.zeros_like(W[0])}
    )  # fmt: skip
    readout.load_state_dict({"weight": V.mT / 2, "bias": V.sum(0) / 2})
    return rnn, readout


def from_nn_rnn(rnn: nn.RNN, readout: nn.Linear) -> ElmanRNN:
    """A copy of the network in its sigmoid form: the inverse of `to_nn_rnn`, without rounding.

    Raises:
        ValueError: `rnn` has several layers, two directions, relu, no biases or the batch first,
            or biases other than the column sums: an `ElmanRNN` has no biases.
    """
    kind = (rnn.mode, rnn.num_layers, rnn.bidirectional, rnn.bias, rnn.batch_first)
    if kind != ("RNN_TANH", 1, False, True, False):
        raise ValueError(f"rnn must be nn.RNN(n_in, hidden), other settings as they are, got {rnn}")
    if readout.bias is None or readout.in_features != rnn.hidden_size:
        raise ValueError(
            f"readout must be a Linear({rnn.hidden_size}, n_out) with a bias, got {readout}"
        )
    (ih, hh, bias, more), (out, into_out) = (m.state_dict().values() for m in (rnn, readout))
    U, W, V = 2 * ih.mT, 4 * hh.mT, 2 * out.mT
    for name, got, weights in (("rnn's", bias + more, W / 4), ("readout's", into_out, V / 2)):
        off = (got.double() - weights.double().sum(0)).abs()
        unit = (len(weights) + 2) * torch.finfo(got.dtype).eps  # two roundings to spare
        if not bool((off <= unit * weights.double().abs().sum(0)).all()):
            raise ValueError(f"{name} biases must be the column sums of a network without biases")
    model = ElmanRNN(len(U), len(W), V.shape[1], device=W.device, dtype=W.dtype)
    model.load_state_dict({"U": U, "W": W, "V": V})
    return model
