"""The network's layer as one differentiable operation with a hand-written backward."""

from rnn_torch.fused.layer import FusedElmanRNN, elman

__all__ = ["FusedElmanRNN", "elman"]
