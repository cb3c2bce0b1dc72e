"""Prove or refute a network with a b-bit state: visit every state that it can reach.

The reachable pairs (network's state, target's state) are finitely many. They are visited breadth
first from (0, 0) under every input: either all output the right bit, which proves the network
for operands of every length, or the path to the first that does not is a shortest counterexample.

Where a value lies within its rounding error of a tie, both neighbours are followed: what is proved
then holds for every order of summation, with or without fused multiply-add.
"""

from collections.abc import Callable

from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.proof.breadth_first import Search
from rnn_numpy.proof.machine import Verdict
from rnn_numpy.proof.rounded_network import RoundedNetwork
from rnn_numpy.tasks.targets import Target, addition, check_fits

#: States explored at most, unless another limit is given; about 200 bytes each.
LIMIT = 1_000_000
#: float32 represents multiples of 2^-16 between 0 and 1 exactly.
MOST_STATE_BITS = 16


def explore(
    params: Params,
    state_bits: int,
    target: Target = addition,
    *,
    limit: int = LIMIT,
    on_progress: Callable[[int], object] = lambda states: None,
) -> Verdict:
    """Prove or refute that the network computes the target, for operands of every length.

    Args:
        params: the weights; one input for each operand, one output.
        state_bits: b, 1 to 16: each h_t is rounded to the nearest multiple of 2^-b, ties to even.
        limit: give up beyond this many states.
        on_progress: called with the number of states found since the last call.

    Raises:
        TypeError, ValueError: as `check_params`; weights that do not fit the target; state bits or
            a limit out of range.
    """
    check_params(params)
    check_integer("state_bits", state_bits, 1, MOST_STATE_BITS)
    check_fits(target, params)
    if limit < 1:
        raise ValueError(f"limit must be at least 1 state, got {limit}")
    network = RoundedNetwork(params, state_bits)
    return Search(network, target, limit, on_progress).run()
