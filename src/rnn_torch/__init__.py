"""The Elman RNN of `rnn_numpy` as a torch.nn.Module, and its parity with the hand-written gradient."""

from rnn_torch.model import ElmanRNN, absolute_error, squared_error
from rnn_torch.parity import autograd_gradient, gradient_parity

__all__ = [
    "ElmanRNN",
    "absolute_error",
    "autograd_gradient",
    "gradient_parity",
    "squared_error",
]
