"""Sets of mistakes in three passes of a GRU.

Lists of vectors, a matrix for each gate, the reset gate before the product; a class with a cache of
each step, the gates side by side, the reset gate after it; h and x in one vector, and a mean loss.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rnn_torch.networks import network, stock, targets
from tests.passes.sets.form import Pass


@network(
    xs="time n_in",
    ys=targets("time n_out"),
    h_init="hidden",
    **{f"W{gate}": "hidden n_in" for gate in "zrh"},
    **{f"U{gate}": "hidden hidden" for gate in "zrh"},
    **{f"b{gate}": "hidden" for gate in "zrh"},
    V="n_out hidden",
    c="n_out",
)
def of_vectors(xs: Tensor, ys: Tensor, h_init: Tensor, **w: Tensor) -> Iterator[Tensor]:
    """One example, a matrix for each gate; z lets the candidate in; the squared error."""
    h = h_init
    for x, y in zip(xs, ys, strict=True):
        z = torch.sigmoid(w["Wz"] @ x + w["Uz"] @ h + w["bz"])
        r = torch.sigmoid(w["Wr"] @ x + w["Ur"] @ h + w["br"])
        candidate = torch.tanh(w["Wh"] @ x + w["Uh"] @ (r * h) + w["bh"])
        h = (1 - z) * h + z * candidate
        yield ((w["V"] @ h + w["c"] - y) ** 2).sum()


@network(
    X="time batch n_in",
    Y=targets("time batch n_out"),
    H0="batch hidden",
    Wg="hidden+n_in 2*hidden",
    bg="2*hidden",
    Wc="hidden+n_in hidden",
    bc="hidden",
    Wo="hidden n_out",
    bo="n_out",
)
def joined(X: Tensor, Y: Tensor, H0: Tensor, **w: Tensor) -> Iterator[Tensor]:
    """The gates z, r of [h, x]; z keeps; half the mean of the squared errors at each step."""
    h = H0
    for x_t, y_t in zip(X, Y, strict=True):
        z, r = torch.sigmoid(torch.cat([h, x_t], 1) @ w["Wg"] + w["bg"]).chunk(2, 1)
        candidate = torch.tanh(torch.cat([r * h, x_t], 1) @ w["Wc"] + w["bc"])
        h = z * h + (1 - z) * candidate
        yield 0.5 * ((h @ w["Wo"] + w["bo"] - y_t) ** 2).mean()


LISTS = Pass(
    "gru: lists of vectors",
    of_vectors,
    """
def gru_bptt(xs, ys, h_init, Wz, Wr, Wh, Uz, Ur, Uh, bz, br, bh, V, c):
    hs, zs, rs, cands = [h_init], [], [], []
    for x in xs:
        h = hs[-1]
        z = sigmoid(Wz @ x + Uz @ h + bz)
        r = sigmoid(Wr @ x + Ur @ h + br)
        cand = np.tanh(Wh @ x + Uh @ (r * h) + bh)
        zs.append(z)
        rs.append(r)
        cands.append(cand)
        hs.append((1 - z) * h + z * cand)
    dWz, dWr, dWh = np.zeros_like(Wz), np.zeros_like(Wr), np.zeros_like(Wh)
    dUz, dUr, dUh = np.zeros_like(Uz), np.zeros_like(Ur), np.zeros_like(Uh)
    dbz, dbr, dbh = np.zeros_like(bz), np.zeros_like(br), np.zeros_like(bh)
    dV, dc = np.zeros_like(V), np.zeros_like(c)
    dh_next = np.zeros_like(h_init)
    for t in reversed(range(len(xs))):
        x, h_prev, h = xs[t], hs[t], hs[t + 1]
        z, r, cand = zs[t], rs[t], cands[t]
        do = 2 * (V @ h + c - ys[t])
        dV += np.outer(do, h)
        dc += do
        dh = V.T @ do + dh_next
        dcand = dh * z
        dz = dh * (cand - h_prev)
        dcand_raw = dcand * (1 - cand**2)
        drh = Uh.T @ dcand_raw
        dr = drh * h_prev
        dr_raw = dr * r * (1 - r)
        dz_raw = dz * z * (1 - z)
        dWh += np.outer(dcand_raw, x)
        dUh += np.outer(dcand_raw, r * h_prev)
        dbh += dcand_raw
        dWr += np.outer(dr_raw, x)
        dUr += np.outer(dr_raw, h_prev)
        dbr += dr_raw
        dWz += np.outer(dz_raw, x)
        dUz += np.outer(dz_raw, h_prev)
        dbz += dz_raw
        dh_next = dh * (1 - z) + drh * r + Ur.T @ dr_raw + Uz.T @ dz_raw
    return dict(Wz=dWz, Wr=dWr, Wh=dWh, Uz=dUz, Ur=dUr, Uh=dUh, bz=dbz, br=dbr, bh=dbh, V=dV, c=dc)
""",
    r"""
unreset: np.outer(dcand_raw, r * h_prev) => np.outer(dcand_raw, h_prev)
  ~ dUh takes h_\(t-1\)|-> Uh .*h_\(t-1\), not r \* h
reset: drh * r + Ur.T => drh + Ur.T
  ~ r \* h with respect to h_\(t-1\) is left out|r \* h -> h_\(t-1\) takes the gradient of r \* h
candidate: drh * r + Ur.T => Ur.T
  ~ r \* h -> h_\(t-1\) is cut|Uh.* -> r \* h is cut
dz: (cand - h_prev) => (h_prev - cand)
  ~ path z -> .*wrong sign|gate z.*wrong sign|-> z has the wrong sign
keep: dh * (1 - z) + drh => dh * z + drh
  ~ \(1 - z\) \* h -> h_\(t-1\) is multiplied by z
ur: Ur.T @ dr_raw + Uz.T => Uz.T
  ~ Ur.* -> h_\(t-1\) is cut
dr: drh * h_prev => drh * h
  ~ r \* h -> r is multiplied by h_t
slope: dz * z * (1 - z) => dz * r * (1 - r)
  ~ z = sigmoid.* v \(1 - v\), with v r
uz: Uz.T @ dz_raw => Uz @ dz_raw
  ~ Uz.* not transposed
copied: np.outer(dr_raw, h_prev) => np.outer(dz_raw, h_prev)
  ~ dUr is dUz|-> Ur takes the gradient of w\[\"[WU]z
two: 2 * (V @ h + c - ys[t]) => V @ h + c - ys[t]
  ~ every (weight's )?gradient is halved|factor 2.* left out|d[Vc] is 0\.5 times
bz: dbz += dz_raw => dbz += dr_raw
  ~ dbz is dbr|-> bz takes the gradient of w\[\"[WU]r
zh: np.outer(dz_raw, h_prev) => np.outer(dz_raw, h)
  ~ dUz takes h_t\b
carry: V.T @ do + dh_next => V.T @ do
  ~ no error is passed back through (every state|h)\b|lacks the gradient of h_t from the next step
let_in: dcand = dh * z => dcand = dh * (1 - z)
  ~ z \* candidate -> candidate is multiplied by 1 - z
c: dc += do => dc = do
  ~ dc .*(overwritten|only the (first|last) step)
""",
    """
    unreset dz carry
    keep bz
    candidate slope c
    two uz copied
    reset let_in zh ur dr
    """,
)

CLASS = Pass(
    "gru: a class, a cache of each step",
    stock("gru"),
    """
class GRU:
    def __init__(self, U, W, b, d):
        self.U, self.W, self.b, self.d = U, W, b, d
        self.caches = []

    def forward(self, x, h):
        hs = []
        for x_t in x:
            x_r, x_z, x_n = np.split(x_t @ self.U + self.b, 3, axis=1)
            h_r, h_z, h_n = np.split(h @ self.W, 3, axis=1)
            r, z, s = sigmoid(x_r + h_r), sigmoid(x_z + h_z), h_n + self.d
            n = np.tanh(x_n + r * s)
            h_new = (1 - z) * n + z * h
            self.caches.append((x_t, h, h_new, r, z, s, n))
            h = h_new
            hs.append(h)
        return hs

    def backward(self, dhs):
        dU, dW = np.zeros_like(self.U), np.zeros_like(self.W)
        db, dd = np.zeros_like(self.b), np.zeros_like(self.d)
        dh_next, dx = 0, [None] * len(dhs)
        for t in range(len(dhs))[::-1]:
            x, h, h_new, r, z, s, n = self.caches[t]
            dh = dhs[t] + dh_next
            dn = dh * (1 - z)
            dz = dh * (h - n)
            da_n = dn * (1 - n**2)
            dr = da_n * s
            da_r = dr * r * (1 - r)
            da_z = dz * z * (1 - z)
            dg_x = np.hstack([da_r, da_z, da_n])
            dg_h = np.hstack([da_r, da_z, da_n * r])
            dU += x.T @ dg_x
            db += dg_x.sum(axis=0)
            dW += h.T @ dg_h
            dd += (da_n * r).sum(axis=0)
            dx[t] = dg_x @ self.U.T
            dh_next = dh * z + dg_h @ self.W.T
        return np.array(dx), dh_next, dU, dW, db, dd

def softmax_loss(hs, V, c, y):
    dhs, dV, dc = [], np.zeros_like(V), np.zeros_like(c)
    for h, y_t in zip(hs, y):
        scores = h @ V + c
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(p)), y_t] -= 1
        dV += h.T @ p
        dc += p.sum(axis=0)
        dhs.append(p @ V.T)
    return dhs, dV, dc

def train_step(x, h_0, U, W, b, d, y, V, c):
    gru = GRU(U, W, b, d)
    dhs, dV, dc = softmax_loss(gru.forward(x, h_0), V, c, y)
    dx, dh_0, dU, dW, db, dd = gru.backward(dhs)
    return dict(dx=dx, dh_0=dh_0, dU=dU, dW=dW, db=db, dd=dd, dV=dV, dc=dc)
""",
    r"""
unreset: da_z, da_n * r]) => da_z, da_n])
  ~ -> h @ W_n takes the gradient of (x_n|r \*)
  ~ r \* \(h @ W_n \+ d\) with respect to h @ W_n \+ d is left out
bias: dr = da_n * s => dr = da_n * (s - self.d)
  ~ -> r is multiplied by h @ W_n, not h @ W_n \+ d
dd: dd += (da_n * r).sum => dd += da_n.sum
  ~ (-> d|dd) takes the gradient of (x_n|r \*)
dz: dz = dh * (h - n) => dz = dh * (n - h)
  ~ path z -> .*wrong sign|gate z.*wrong sign|-> z has the wrong sign
keep: dh * z + dg_h @ self.W.T => dg_h @ self.W.T
  ~ z \* h -> h_\(t-1\) (is cut|has only)
complement: dn = dh * (1 - z) => dn = dh * z
  ~ \(1 - z\) \* n -> n is multiplied by z
order: np.hstack([da_r, da_z, da_n]) => np.hstack([da_z, da_r, da_n])
  ~ x_z -> x_t @ U \+ b takes the gradient of (x_)?r
  ~ x_r -> x_t @ U \+ b takes the gradient of (x_)?z
  ~ gates are (concatenated as|in the order) (x_)?z, (x_)?r
mean: dg_x.sum(axis=0) => dg_x.mean(axis=0)
  ~ db is (divided by (the )?batch|the gradient divided by batch|the mean over the batch)
inputs: dh * z + dg_h @ self.W.T => dh * z + dg_x @ self.W.T
  ~ h @ W_n -> h_\(t-1\) takes the gradient of (x_n|r \*)
slope: dz * z * (1 - z) => dz * z * (1 - r)
  ~ z = sigmoid.* v \(1 - w\), with w r
batch: y_t] -= 1 => y_t] -= 1; p /= len(p)
  ~ every gradient is divided by the batch|d[Vc] is the gradient divided by batch
last: dV += h.T @ p => dV = h.T @ p
  ~ dV .*(overwritten|only the (first|last) step)
new: dW += h.T @ dg_h => dW += h_new.T @ dg_h
  ~ dW takes h_t\b
linear: dn * (1 - n**2) => dn
  ~ derivative of n with.* left out
reset: dr * r * (1 - r) => dr
  ~ derivative of r (with.* left out|.* taken as 1)
upstream: dhs[t] + dh_next => dhs[t - 1] + dh_next
  ~ (error|loss|upstream|target).* (of|at) the previous step|previous step's
""",
    """
    dd mean upstream
    unreset bias
    keep new last linear
    dz order reset
    batch complement inputs slope
    """,
)

JOINED = Pass(
    "gru: h and x in one vector, a mean loss",
    joined,
    """
def gru_grads(X, Y, H0, Wg, bg, Wc, bc, Wo, bo):
    T, B, _ = X.shape
    H = H0.shape[1]
    hs, tape = [H0], []
    for t in range(T):
        h = hs[t]
        hx = np.concatenate([h, X[t]], axis=1)
        gates = sigmoid(hx @ Wg + bg)
        z, r = gates[:, :H], gates[:, H:]
        rhx = np.concatenate([r * h, X[t]], axis=1)
        cand = np.tanh(rhx @ Wc + bc)
        hs.append(z * h + (1 - z) * cand)
        tape.append((h, hx, z, r, rhx, cand))
    states = np.stack(hs[1:])
    dout = (states @ Wo + bo - Y) / (B * Y.shape[2])
    dWo = np.einsum("tbh,tbo->ho", states, dout)
    dbo = dout.sum(axis=(0, 1))
    dhs = dout @ Wo.T
    dWg, dbg, dWc, dbc = (np.zeros_like(a) for a in (Wg, bg, Wc, bc))
    dX, dh = np.zeros_like(X), np.zeros_like(H0)
    for t in range(T - 1, -1, -1):
        h, hx, z, r, rhx, cand = tape[t]
        dh = dh + dhs[t]
        dcand = dh * (1 - z) * (1 - cand**2)
        drhx = dcand @ Wc.T
        dz = dh * (h - cand) * z * (1 - z)
        dr = drhx[:, :H] * h * r * (1 - r)
        dgates = np.concatenate([dz, dr], axis=1)
        dhx = dgates @ Wg.T
        dWc += rhx.T @ dcand
        dbc += dcand.sum(axis=0)
        dWg += hx.T @ dgates
        dbg += dgates.sum(axis=0)
        dX[t] = dhx[:, H:] + drhx[:, H:]
        dh = dh * z + dhx[:, :H] + drhx[:, :H] * r
    return {"X": dX, "H0": dh, "Wg": dWg, "bg": dbg, "Wc": dWc, "bc": dbc, "Wo": dWo, "bo": dbo}
""",
    r"""
reset: drhx[:, :H] * r => drhx[:, :H]
  ~ r \* h with respect to h_\(t-1\) is left out|r \* h -> h_\(t-1\) takes the gradient of r \* h
unreset: rhx.T @ dcand => hx.T @ dcand
  ~ dWc takes torch\.cat\(\[h, x_t\], 1\)
gates_x: dhx[:, H:] + drhx[:, H:] => drhx[:, H:]
  ~ torch\.cat\(\[h, x_t\], 1\) -> x_t is cut
cand_x: dhx[:, H:] + drhx[:, H:] => dhx[:, H:]
  ~ torch\.cat\(\[r \* h, x_t\], 1\) -> x_t is cut
outputs: / (B * Y.shape[2]) => / B
  ~ multiplied by n_out
  ~ every gradient is multiplied by n_out|d(Wo|bo) is n_out times|mean over the outputs
sum: / (B * Y.shape[2]) =>
  ~ multiplied by .*batch size.* and by n_out|takes .* - y_t for the gradient of h @
  ~ every gradient is multiplied by batch \* n_out|d(Wo|bo) is .*(batch.*n_out|n_out.*batch)
  ~ \.mean\(\).*(left out|sum)|sum(med)?, not (the )?mean
dz: (h - cand) => (cand - h)
  ~ path z -> .*wrong sign|gate z.*wrong sign|-> z has the wrong sign
keep: dh * z + dhx => dh * (1 - z) + dhx
  ~ z \* h -> h_\(t-1\) is multiplied by 1 - z
linear: (1 - z) * (1 - cand**2) => (1 - z)
  ~ derivative of candidate with.* left out
order: np.concatenate([dz, dr], axis=1) => np.concatenate([dr, dz], axis=1)
  ~ (gates|parts?|r and z|z and r).*(order|exchanged|swapped|place)
  ~ has (r|z)'s part in (r|z)'s place
carry: dh = dh + dhs[t] => dh = dhs[t]
  ~ no error is passed back through (every state|h)\b|lacks the gradient of h_t from the next step
previous: "tbh,tbo->ho", states, dout => "tbh,tbo->ho", np.stack(hs[:-1]), dout
  ~ dWo takes h_\(t-1\)
slope: h * r * (1 - r) => h
  ~ through r reaches .* without the derivative|derivative of (gate )?r (with|=)
bg: dbg += dgates.sum => dbg = dgates.sum
  ~ dbg .*(overwritten|only the (first|last) step)
half: * z * (1 - z) => * z
  ~ derivative of (gate )?z .* (taken as v,|is z)
bo: dout.sum(axis=(0, 1)) => dout.sum(axis=1).mean(axis=0)
  ~ dbo is (divided by the number of steps|the mean over the steps|the gradient divided by time)
gates_h: + dhx[:, :H] + drhx => + drhx
  ~ torch\.cat\(\[h, x_t\], 1\) -> h_\(t-1\) is cut
""",
    """
    sum gates_x
    reset previous bg gates_h
    order bo dz
    carry linear unreset
    outputs slope keep half cand_x
    """,
)

PASSES = (LISTS, CLASS, JOINED)
