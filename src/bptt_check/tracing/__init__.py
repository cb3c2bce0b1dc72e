"""Trace any torch network operation by operation; find the time step at which a pass is wrong.

    where = locate(network, ask)    loss step x state step, gate by gate

`network` is a `bptt_check.networks.Network`; `ask` maps a problem to the candidate's answer.

    tape, calls, reverse    a recorded call, and its reverse pass, whose parts can be altered
    mistakes, changes       an altered reverse pass as data, and what runs it
    step                    one recorded step, with a name for each quantity
    locate                  the wrong loss steps, state steps and gates of a candidate
"""

from bptt_check.tracing.locate import Claim, Where, error_arguments, locate
from bptt_check.tracing.mistakes import Mistake

__all__ = ["Claim", "Mistake", "Where", "error_arguments", "locate"]
