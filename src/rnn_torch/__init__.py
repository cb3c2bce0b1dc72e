"""The Elman RNN as a torch.nn.Module, and the parity of its gradient with the hand-written one."""

from rnn_torch.compare import compare_gradients
from rnn_torch.model import ElmanRNN, absolute_error, squared_error
from rnn_torch.parity import autograd_gradient, gradient_parity

__all__ = [
    "ElmanRNN",
    "absolute_error",
    "autograd_gradient",
    "compare_gradients",
    "gradient_parity",
    "squared_error",
]
