"""The network with a rounded state, in torch: shares no code with `rnn_numpy.proof`."""

import numpy as np
import torch

from rnn_numpy import Params
from rnn_torch import ElmanRNN


def said_by_torch(params: Params, x: np.ndarray, state_bits: int) -> np.ndarray:
    """The output bits (time, batch)."""
    model, h, said = ElmanRNN.from_params(params), None, []
    with torch.inference_mode():
        for x_t in torch.from_numpy(x):
            _, (h,) = model(x_t[None], h)
            h = torch.round(h * 2**state_bits) / 2**state_bits
            said.append((h @ model.V)[:, 0].numpy() > 0)
    return np.stack(said)
