"""Any torch network, followed operation by operation; and where in time a pass by it goes wrong.

    where = locate(network, ask)    loss step x state step, gate by gate

`network` is a `rnn_torch.networks.network.Network`, `ask` a candidate: a problem to its gradients.

    tape, calls, reverse    a recorded call, and its reverse pass, whose parts can be altered
    step                    one step of it, with a name for everything
    locate                  read off a candidate's answers
"""

from rnn_torch.tracing.locate import Where, error_arguments, locate
from rnn_torch.tracing.reverse import Mistake

__all__ = ["Mistake", "Where", "error_arguments", "locate"]
