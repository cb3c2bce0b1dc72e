"""How far rounding may move the gradient of any torch network, carried beside every operation.

right = reference(network, problem)    losses, gradients, and a bound for each of their entries

bound, error_rules    the dispatch mode; a rule for each operation
noise_floor           what is measured instead where an operation has no rule, and says so
"""

from rnn_torch.error_bound.bound import Reference, reference

__all__ = ["Reference", "reference"]
