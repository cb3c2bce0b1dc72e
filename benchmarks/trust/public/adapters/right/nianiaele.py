"""Put the cell of nianiaele/gru-cell-in-numpy through time."""

import numpy as np

from benchmarks.trust.public.form import published

_Cell = published("GRU_Cell")


def nianiaele(x, h, Wzh, Wrh, Wh, Wzx, Wrx, Wx, delta):
    weights = {"Wzh": Wzh, "Wrh": Wrh, "Wh": Wh, "Wzx": Wzx, "Wrx": Wrx, "Wx": Wx}
    cells = [_Cell(*Wx.shape[::-1]) for _ in x]
    for cell, row in zip(cells, x, strict=True):
        vars(cell).update(weights)
        h = cell.forward(row, h)
    found = {f"d{name}": np.zeros_like(its) for name, its in weights.items()}
    dx, dh = np.zeros_like(x), np.zeros((1, len(h)))
    for t in reversed(range(len(x))):
        dx[t : t + 1], dh = cells[t].backward(delta[t : t + 1] + dh)
        for name in found:
            found[name] += getattr(cells[t], name)
    return found | {"dx": dx, "dh": dh[0]}
