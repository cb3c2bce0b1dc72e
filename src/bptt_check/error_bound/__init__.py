"""Bound the rounding error of any torch network's gradient, operation by operation.

right = reference(network, problem)    losses, gradients, and a bound for each of their entries

bound, error_rules    the dispatch mode; a rule for each operation
noise_floor           a measured substitute for operations without a rule
truncated             the operations of torch that are further off than rounding
"""

from bptt_check.error_bound.bound import Reference, explodes, reference, with_floor

__all__ = ["Reference", "explodes", "reference", "with_floor"]
