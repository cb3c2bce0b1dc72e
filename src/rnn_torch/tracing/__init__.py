"""Any torch network, followed operation by operation: what may be wrong in its reverse pass.

    where = locate(network, ask)                       loss step x state step, gate by gate
    names = name_mistakes(asked, Catalogue(network))   which mistake, the line of the network

`network` is a `rnn_torch.networks.network.Network`, `ask` a candidate: a problem to its gradients.

    tape, calls, reverse                       a recorded call, and its reverse pass
    step, mistakes, paths, whole,
    altered_forward                            the catalogue: what may be wrong in it
    naming, locate                             the candidate's answers, explained
"""

from rnn_torch.tracing.locate import Where, error_arguments, locate
from rnn_torch.tracing.naming import Asked, Catalogue, Explanation, name_mistakes, noise_floor
from rnn_torch.tracing.reverse import Mistake

__all__ = [
    "Asked",
    "Catalogue",
    "Explanation",
    "Mistake",
    "Where",
    "error_arguments",
    "locate",
    "name_mistakes",
    "noise_floor",
]
