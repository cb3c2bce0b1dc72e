"""Wrong: Whh is not transposed on the way back. The weights are globals, as scripts have them."""

import numpy as np

Wxh = Whh = Why = bh = by = None  # whoever calls it sets them


def loss_and_gradients(inputs, targets, hprev):
    hs, ps, loss = {-1: hprev}, {}, 0.0
    for t, (x, y) in enumerate(zip(inputs, targets, strict=True)):
        hs[t] = np.tanh(Wxh[:, [x]] + Whh @ hs[t - 1] + bh)
        scores = Why @ hs[t] + by
        ps[t] = np.exp(scores - scores.max())
        ps[t] /= ps[t].sum()
        loss -= np.log(ps[t][y, 0])
    dWxh, dWhh, dWhy, dbh, dby = (np.zeros_like(a) for a in (Wxh, Whh, Why, bh, by))
    dhnext = np.zeros_like(hprev)
    for t in reversed(range(len(inputs))):
        dy = ps[t].copy()
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        dh = Why.T @ dy + dhnext
        dz = (1 - hs[t] ** 2) * dh
        dbh += dz
        dWxh[:, [inputs[t]]] += dz
        dWhh += dz @ hs[t - 1].T
        dhnext = Whh @ dz  # here: Whh.T
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]
