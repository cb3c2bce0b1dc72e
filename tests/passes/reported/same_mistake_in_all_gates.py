import numpy as np
import torch
from rnn_torch.networks import network, upstream

W = {f"{k}{g}": s for g in "ifgo" for k, s in (("W", "hidden n_in"), ("R", "hidden hidden"))}


@network(x="time n_in", dy=upstream("time hidden"), **W)
def lstm(x, dy, **w):
    h = c = torch.zeros(len(w["Ri"]))
    for x_t, dy_t in zip(x, dy):
        i, f, g, o = (w["W" + k] @ x_t + w["R" + k] @ h for k in "ifgo")
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        yield (h * dy_t).sum()


def backward(x, dy, Wi, Wf, Wg, Wo, Ri, Rf, Rg, Ro):
    W, R = dict(i=Wi, f=Wf, g=Wg, o=Wo), dict(i=Ri, f=Rf, g=Rg, o=Ro)
    h, c, S = [0 * Ri[0]], [0 * Ri[0]], []
    for x_t in x:
        z = {k: W[k] @ x_t + R[k] @ h[-1] for k in "ifgo"}
        S.append({k: np.tanh(z[k]) if k == "g" else 1 / (1 + np.exp(-z[k])) for k in z})
        c.append(S[-1]["f"] * c[-1] + S[-1]["i"] * S[-1]["g"])
        h.append(S[-1]["o"] * np.tanh(c[-1]))
    out, dh, dc = {f"d{m}{k}": 0 * a[k] for m, a in (("W", W), ("R", R)) for k in "ifgo"}, 0, 0
    for t in reversed(range(len(x))):
        s, dh = S[t], dy[t] + dh
        dc = dc + dh * s["o"] * (1 - np.tanh(c[t + 1]) ** 2)
        d = dict(i=dc * s["g"], f=dc * c[t], g=dc * s["i"], o=dh * np.tanh(c[t + 1]))
        dz = {k: d[k] * (1 - s[k] ** 2 if k == "g" else s[k] * (1 - s[k])) for k in d}
        for k in "ifgo":
            out["dW" + k], out["dR" + k] = out["dW" + k] + np.outer(dz[k], x[t]), out["dR" + k] + np.outer(dz[k], h[t])
        dh, dc = sum(R[k] @ dz[k] for k in "ifgo"), dc * s["f"]  # wrong: R[k].T, in every gate
    return out
