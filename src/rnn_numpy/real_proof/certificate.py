"""Write a proof of the network as trained, its sets and metrics, as a file for `verify.py`.

The header has six lines; the fourth is `state-real` and the dtype of the evaluation. Then there is
a line for each set, first the set that contains h_0, and a line for each metric. A set's line has:

    the centre; the target's state; the output bit; for each input the number of the next set, a
    colon, and lambda (docs/proof.md); the radius; the number of the metric

A metric's line has the word `metric` and P = L^T L, row by row, up to the diagonal. Numbers are
hexadecimal: P in units of 2^-30; centre, radius and lambda in units of 2^-40.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.certificate import header
from rnn_numpy.real_proof.metric import METRIC_BITS
from rnn_numpy.real_proof.verdict import Proved

BITS = 40


def real_certificate(params: Params, proved: Proved) -> Iterator[str]:
    """The lines of the certificate of a proof about these weights."""
    cover, classes = proved.cover, proved.classes
    yield from header(params, f"real {proved.dtype}", proved.target, len(cover.q))
    used, number = np.unique(cover.q, return_inverse=True)
    radii = _integers(cover.radius, BITS)
    for centre, q, to, share, radius, metric in zip(
        _integers(cover.centre, BITS), cover.q.tolist(), cover.next.tolist(),
        _integers(cover.share, BITS), radii, number.tolist(), strict=True,
    ):  # fmt: skip
        leads = " ".join(f"{lead}:{part:x}" for lead, part in zip(to, share, strict=True))
        text = ".".join(f"{entry:x}" for entry in centre)
        yield f"{text} {classes.task[q]} {classes.said[q]} {leads} {radius:x} {metric}"
    for L in proved.metric[used]:
        rows = _integers(L.T @ L, METRIC_BITS)
        below = (entry for i, row in enumerate(rows) for entry in row[: i + 1])
        yield f"metric {'.'.join(f'{entry:x}' for entry in below)}"


def _integers(array: Any, bits: int) -> Any:
    """The entries in units of 2^-bits, rounded, as lists of integers."""
    return np.rint(array * 2.0**bits).astype(np.int64).tolist()
