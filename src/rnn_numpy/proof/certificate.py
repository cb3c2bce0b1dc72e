"""Write a proof as a file that `verify.py` checks: the network's behaviour in each reachable state.

It is text: a header of six lines, then one line for each state, the initial state first:

    h in units of 2^-b, in hexadecimal, separated by dots; the target's state; the output bit; and
    for each input the number of the next state, counted from 0 (after a tie, several numbers)

The writer trusts `machine.py`; the reader, `verify.py`, trusts neither.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.machine import Proved
from rnn_numpy.tasks.targets import Target

HEADING = "rnn-bptt-reference certificate 1"


def weights_hash(params: Params) -> str:
    """SHA-256 of U, W, V, each as F32 or F64 and then its numbers, in C order and little-endian."""
    kind = f"F{8 * params.W.itemsize}".encode()
    octets = (kind + np.ascontiguousarray(p, p.dtype.newbyteorder("<")).tobytes() for p in params)
    return hashlib.sha256(b"".join(octets)).hexdigest()


def header(params: Params, state: str, target: Target, states: int) -> list[str]:
    """The first six lines."""
    return [
        HEADING,
        f"weights {weights_hash(params)}",
        f"dtype {params.W.dtype.name}",
        f"state-{state}",
        f"target {target.name}",
        f"states {states}",
    ]


def certificate(params: Params, proved: Proved) -> Iterator[str]:
    """The lines of the certificate of a proof about these weights."""
    machine = proved.machine
    yield from header(params, f"bits {proved.state_bits}", proved.target, proved.states)
    others: dict[tuple[int, int], list[int]] = {}
    for source, number, other in machine.branches.tolist():
        others.setdefault((source, number), []).append(other)
    rows = zip(
        machine.levels.tolist(),
        machine.task.tolist(),
        machine.output.tolist(),
        machine.next.tolist(),
        strict=True,
    )
    for state, (levels, task, said, following) in enumerate(rows):
        leads = (
            ",".join(map(str, [first, *others.get((state, number), [])]))
            for number, first in enumerate(following)
        )
        yield f"{'.'.join(f'{level:x}' for level in levels)} {task} {said} {' '.join(leads)}"
