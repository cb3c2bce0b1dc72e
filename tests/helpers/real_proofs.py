"""A network whose proof has few sets, and forged copies of certificates."""

import random

import numpy as np

from rnn_numpy import Params


def copier(dtype: str = "float64") -> Params:
    """A network that outputs its input: the target multiplication:1."""
    U = np.array([[4.0, 0.2, -0.1]])
    W = np.array([[0.3, -0.2, 0.1], [0.1, 0.4, -0.3], [-0.2, 0.1, 0.3]])
    V = np.array([[2.0], [-2.4], [-0.6]])
    return Params(*(array.astype(dtype) for array in (U, W, V)))


FORGERIES = ("lead", "share", "radius", "centre", "said", "metric number", "metric")


def forged(lines: list[str], kind: str, seed: int) -> list[str]:
    """A certificate with one field changed so much that it is wrong."""
    rng, lines = random.Random(seed), list(lines)
    count = int(lines[5].split(" ")[1])
    if kind == "metric":
        i = rng.randrange(6 + count, len(lines))
        entries = lines[i].split(" ")[1].split(".")
        lines[i] = f"metric {'.'.join(f'{rng.choice((-1, 0)) * int(e, 16):x}' for e in entries)}"
        return lines
    # Any set but the first: that {h_0} is very small leaves it room for some changes.
    i = rng.randrange(7, 6 + count)
    *fields, radius, metric = lines[i].split(" ")
    lead = rng.randrange(3, len(fields))
    to, _, part = fields[lead].partition(":")
    if kind == "lead":  # to a set that says something else, or holds h_0 alone
        others = [
            n
            for n in range(count)
            if n == 0 or lines[6 + n].split(" ")[2] != lines[6 + int(to)].split(" ")[2]
        ]
        fields[lead] = f"{rng.choice(others)}:{part}"
    elif kind == "share":  # lambda below the largest axis, or above the radius
        fields[lead] = f"{to}:{rng.choice((0, 1 << 40, 1 << 45)):x}"
    elif kind == "radius":  # too small for what led to it
        radius = f"{int(radius, 16) // rng.choice((40, 1000)):x}"
    elif kind == "centre":
        entries = fields[0].split(".")
        k = rng.randrange(len(entries))
        entries[k] = f"{int(entries[k], 16) + rng.choice((-1, 1)) * (1 << rng.randrange(38, 41)):x}"
        fields[0] = ".".join(entries)
    elif kind == "said":
        fields[2] = "01"[fields[2] == "0"]
    else:
        metric = str(len(lines) - 6 - count + rng.randrange(5))
    lines[i] = " ".join([*fields, radius, metric])
    return lines
