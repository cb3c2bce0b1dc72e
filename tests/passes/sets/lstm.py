"""Sets of mistakes in three passes of an LSTM.

A function for a step, with caches; a matrix for each gate, whose formulas are written out in full;
arrays over time, all weights and biases in one matrix.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from rnn_torch.networks import network, tokens, upstream
from tests.passes.sets.form import Pass


@network(
    x="batch time n_in",
    h0="batch hidden",
    Wx="n_in 4*hidden",
    Wh="hidden 4*hidden",
    b="4*hidden",
    dh=upstream("batch time hidden"),
)
def layer(x: Tensor, h0: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor, dh: Tensor) -> Iterator[Tensor]:
    """Gates i, f, o, g, the batch first; the cell starts at 0; the upstream gradient is given."""
    h, c = h0, torch.zeros_like(h0)
    for t in range(x.shape[1]):
        a_i, a_f, a_o, a_g = (x[:, t] @ Wx + h @ Wh + b).chunk(4, 1)
        c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        h = torch.sigmoid(a_o) * torch.tanh(c)
        yield (h * dh[:, t]).sum()


@network(
    x="n_x batch time",
    y=tokens("batch time", below="n_y"),
    a0="n_a batch",
    **{f"W{gate}": "n_a n_a+n_x" for gate in "fico"},
    **{f"b{gate}": "n_a 1" for gate in "fico"},
    Wy="n_y n_a",
    by="n_y 1",
)
def written_out(
    x: Tensor, y: Tensor, a0: Tensor, Wf: Tensor, Wi: Tensor, Wc: Tensor, Wo: Tensor, **w: Tensor
) -> Iterator[Tensor]:
    """A matrix of [a, x] for each gate, examples in columns, time last; softmax."""
    bf, bi, bc, bo = w["bf"], w["bi"], w["bc"], w["bo"]
    a, c = a0, torch.zeros_like(a0)
    for t in range(x.shape[2]):
        both = torch.cat([a, x[:, :, t]])
        f = torch.sigmoid(Wf @ both + bf)
        i = torch.sigmoid(Wi @ both + bi)
        g = torch.tanh(Wc @ both + bc)
        o = torch.sigmoid(Wo @ both + bo)
        c = f * c + i * g
        a = o * torch.tanh(c)
        logits = torch.log_softmax(w["Wy"] @ a + w["by"], 0)
        yield -logits.gather(0, y[None, :, t]).sum()


@network(
    X="time batch n_in",
    WLSTM="n_in+hidden+1 4*hidden",
    c0="batch hidden",
    h0="batch hidden",
    dHout=upstream("time batch hidden"),
)
def one_matrix(X: Tensor, WLSTM: Tensor, c0: Tensor, h0: Tensor, dHout: Tensor) -> Iterator[Tensor]:
    """Gates i, f, o, g of [1, x, h]; the upstream gradient is given."""
    h, c = h0, c0
    for x_t, dh_t in zip(X, dHout, strict=True):
        ones = torch.ones_like(x_t[:, :1])
        a_i, a_f, a_o, a_g = (torch.cat([ones, x_t, h], 1) @ WLSTM).chunk(4, 1)
        c = torch.sigmoid(a_f) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        h = torch.sigmoid(a_o) * torch.tanh(c)
        yield (h * dh_t).sum()


STEPS = Pass(
    "lstm: a function for a step",
    layer,
    """
def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = x @ Wx + prev_h @ Wh + b
    ai, af, ao, ag = np.split(a, 4, axis=1)
    i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, next_h)

def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c, next_h = cache
    tanh_c = np.tanh(next_c)
    do = dnext_h * tanh_c
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    df = dc * prev_c
    di = dc * g
    dg = dc * i
    dprev_c = dc * f
    da = np.hstack((di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)))
    return da @ Wx.T, da @ Wh.T, dprev_c, x.T @ da, prev_h.T @ da, da.sum(axis=0)

def lstm_backward(x, h0, Wx, Wh, b, dh):
    N, T, D = x.shape
    caches, h, c = [], h0, np.zeros_like(h0)
    for t in range(T):
        h, c, cache = lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
        caches.append(cache)
    dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dprev_h, dprev_c = np.zeros_like(h0), np.zeros_like(h0)
    for t in reversed(range(T)):
        dx_t, dprev_h, dprev_c, dWx_t, dWh_t, db_t = lstm_step_backward(
            dh[:, t, :] + dprev_h, dprev_c, caches[t]
        )
        dx[:, t] = dx_t
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    dh0 = dprev_h
    return dx, dh0, dWx, dWh, db
""",
    r"""
cell: dprev_c, caches[t] => 0, caches[t]
  ~ no error is passed back through (every state|c)\b|\* c -> c_\(t-1\) is cut
  ~ lacks the gradient of c_t from the next step
o: dnext_h * o * (1 - tanh_c**2) => dnext_h * (1 - tanh_c**2)
  ~ h_t with respect to torch\.tanh\(c\) is left out
  ~ torch\.tanh\(c\) -> c_t takes the gradient of h_t
at_c: (1 - tanh_c**2) => (1 - next_c**2)
  ~ torch\.tanh\(c\) is taken as 1 - v\^2, with v (its argument|c_t)
df: df = dc * prev_c => df = dc * next_c
  ~ -> torch\.sigmoid\(a_f\) is multiplied by c_t
forget: dprev_c = dc * f => dprev_c = dc
  ~ \(a_f\) \* c with respect to c_\(t-1\) is left out|c_\(t-1\) takes the gradient of c_t
order: do * o * (1 - o), dg * (1 - g**2) => dg * (1 - g**2), do * o * (1 - o)
  ~ gates are (concatenated as|in the order) .*g, (a_)?o, not
g: dg * (1 - g**2) => dg * g * (1 - g)
  ~ tanh\(a_g\) is taken as v \(1 - v\)
do: do = dnext_h * tanh_c => do = dnext_h * next_c
  ~ -> torch\.sigmoid\(a_o\) is multiplied by c_t
next: prev_h.T @ da => next_h.T @ da
  ~ dWh takes h_t\b
mean: da.sum(axis=0) => da.mean(axis=0)
  ~ db is (divided by (the )?batch|the gradient divided by batch|the mean over the batch)
wx: dWx += dWx_t => dWx = dWx_t
  ~ dWx .*(overwritten|only the (first|last) step)
carry: dh[:, t, :] + dprev_h => dh[:, t, :]
  ~ no error is passed back through (every state|h)\b|@ Wh -> h_\(t-1\) is cut
  ~ lacks the gradient of h_t from the next step
di: di = dc * g => di = dc * i
  ~ -> torch\.sigmoid\(a_i\) is multiplied by torch\.sigmoid\(a_i\)
  ~ -> a_i takes the gradient of torch\.tanh\(a_g\)
f: df * f * (1 - f) => df
  ~ derivative of torch\.sigmoid\(a_f\) (with.* left out|is taken as 1)
  ~ a_f -> .* takes the gradient of torch\.sigmoid\(a_f\)
initial: dh0 = dprev_h => dh0 = np.zeros_like(h0)
  ~ dh0 is zero|at the first step the path h @ Wh -> h_\(t-1\) is cut
upstream: dh[:, t, :] => dh[:, t - 1, :]
  ~ dh\[:, t\] of the previous step
""",
    """
    cell initial
    o mean upstream
    df next at_c
    forget g wx di
    carry order do f initial
    """,
)

WRITTEN_OUT = Pass(
    "lstm: a formula for each gate",
    written_out,
    """
def lstm_cell_forward(xt, a_prev, c_prev, P):
    concat = np.concatenate((a_prev, xt), axis=0)
    ft = sigmoid(P["Wf"] @ concat + P["bf"])
    it = sigmoid(P["Wi"] @ concat + P["bi"])
    cct = np.tanh(P["Wc"] @ concat + P["bc"])
    ot = sigmoid(P["Wo"] @ concat + P["bo"])
    c_next = ft * c_prev + it * cct
    a_next = ot * np.tanh(c_next)
    return a_next, c_next, (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, concat)

def lstm_cell_backward(da_next, dc_next, cache, P):
    a_next, c_next, a_prev, c_prev, ft, it, cct, ot, concat = cache
    n_a = a_next.shape[0]
    dtanh = 1 - np.tanh(c_next) ** 2
    dot = da_next * np.tanh(c_next) * ot * (1 - ot)
    dcct = (dc_next * it + ot * dtanh * it * da_next) * (1 - cct**2)
    dit = (dc_next * cct + ot * dtanh * cct * da_next) * it * (1 - it)
    dft = (dc_next * c_prev + ot * dtanh * c_prev * da_next) * ft * (1 - ft)
    dconcat = P["Wf"].T @ dft + P["Wi"].T @ dit + P["Wc"].T @ dcct + P["Wo"].T @ dot
    g = {"dWf": dft @ concat.T, "dWi": dit @ concat.T, "dWc": dcct @ concat.T}
    g["dWo"] = dot @ concat.T
    g["dbf"] = np.sum(dft, axis=1, keepdims=True)
    g["dbi"] = np.sum(dit, axis=1, keepdims=True)
    g["dbc"] = np.sum(dcct, axis=1, keepdims=True)
    g["dbo"] = np.sum(dot, axis=1, keepdims=True)
    dc_prev = dc_next * ft + ot * dtanh * ft * da_next
    return dconcat[:n_a], dc_prev, dconcat[n_a:], g

def lstm_gradients(x, y, a0, Wf, Wi, Wc, Wo, bf, bi, bc, bo, Wy, by):
    P = dict(Wf=Wf, Wi=Wi, Wc=Wc, Wo=Wo, bf=bf, bi=bi, bc=bc, bo=bo)
    n_x, m, T_x = x.shape
    a, c, caches = a0, np.zeros_like(a0), []
    for t in range(T_x):
        a, c, cache = lstm_cell_forward(x[:, :, t], a, c, P)
        caches.append(cache)
    grads = {"d" + k: np.zeros_like(v) for k, v in P.items()}
    grads["dWy"], grads["dby"] = np.zeros_like(Wy), np.zeros_like(by)
    dx = np.zeros_like(x)
    da_prev, dc_prev = np.zeros_like(a0), np.zeros_like(a0)
    for t in reversed(range(T_x)):
        a_t = caches[t][0]
        logits = Wy @ a_t + by
        dlogits = np.exp(logits - logits.max(axis=0))
        dlogits /= dlogits.sum(axis=0)
        dlogits[y[:, t], np.arange(m)] -= 1
        grads["dWy"] += dlogits @ a_t.T
        grads["dby"] += dlogits.sum(axis=1, keepdims=True)
        da = Wy.T @ dlogits + da_prev
        da_prev, dc_prev, dx[:, :, t], step = lstm_cell_backward(da, dc_prev, caches[t], P)
        for k in step:
            grads[k] += step[k]
    return {**grads, "dx": dx, "da0": da_prev}
""",
    r"""
cct: ot * dtanh * it * da_next => ot * dtanh * cct * da_next
  ~ (c_t through torch\.tanh\(c\)|-> g).* (multiplied by|takes) g|-> g .*g, not i
dit: dc_next * cct + ot * dtanh * cct * da_next => dc_next * cct
  ~ -> i lacks the gradient of c_t through torch\.tanh\(c\)
  ~ -> i takes only the gradient from the next step
dft: (dc_next * c_prev + ot * dtanh * c_prev * da_next)
  => (dc_next * c_next + ot * dtanh * c_next * da_next)
  ~ -> f is multiplied by c_t
dot: dot = da_next * np.tanh(c_next) => dot = da_next * c_next
  ~ -> o is multiplied by c_t
dc_prev: dc_next * ft + ot * dtanh * ft * da_next => dc_next * ft
  ~ no error is passed back through (every state|c)\b|\* c -> c_\(t-1\) is cut
  ~ lacks the gradient of c_t from the next step
  ~ c_\(t-1\) lacks the gradient of c_t through torch\.tanh\(c\)
  ~ c_\(t-1\) takes only the gradient from the next step
wo: P["Wc"].T @ dcct + P["Wo"].T @ dot => P["Wc"].T @ dcct
  ~ Wo @ both -> both is cut|Wo.* -> a_\(t-1\) is cut
bo: np.sum(dot, axis=1 => np.mean(dot, axis=1
  ~ dbo is (divided by (the )?batch|the gradient divided by batch|the mean over the batch)
copied: "dWi": dit @ concat.T => "dWi": dft @ concat.T
  ~ dWi is dWf|(-> Wi|dWi) takes the gradient of (Wf|f\b)
carry: Wy.T @ dlogits + da_prev => Wy.T @ dlogits
  ~ no error is passed back through (every state|a)\b|lacks the gradient of a_t from the next step
bracket: * (1 - cct**2) => * (1 - cct) ** 2
  ~ \(1 - v\)\^2, with v its value
slice: dconcat[n_a:], g => dconcat[: len(concat) - n_a], g
  ~ dx .*(rows|slice|part) .*a
sign: np.arange(m)] -= 1 => np.arange(m)] -= 1; dlogits *= -1
  ~ every gradient has the wrong sign|logits.* has the wrong sign|d(Wy|by) is -1 times
wy: dlogits @ a_t.T => dlogits @ caches[t][2].T
  ~ dWy takes a_\(t-1\)
by: grads["dby"] += dlogits => grads["dby"] = dlogits
  ~ dby .*(overwritten|only the (first|last) step)
gate_o: * ot * (1 - ot) =>
  ~ derivative of o (with.* left out|.* taken as 1)
clear: dc_prev, caches[t], P) => 0 * dc_prev, caches[t], P)
  ~ no error is passed back through (every state|c)\b|\* c -> c_\(t-1\) is cut
  ~ lacks the gradient of c_t from the next step
bi: np.sum(dit, axis=1 => np.sum(dft, axis=1
  ~ dbi is dbf|(-> bi|dbi) takes the gradient of (Wf|f\b)
""",
    """
    bi by
    dit copied gate_o
    bracket wo wy clear
    dc_prev slice dot bo
    carry dft cct sign bi
    """,
)

ONE_MATRIX = Pass(
    "lstm: one matrix, arrays over time",
    one_matrix,
    """
class LSTM:
    @staticmethod
    def forward(X, WLSTM, c0, h0):
        n, b, m = X.shape
        d = h0.shape[1]
        Hin = np.zeros((n, b, WLSTM.shape[0]))
        Hout, C, Ct = np.zeros((n, b, d)), np.zeros((n, b, d)), np.zeros((n, b, d))
        IFOGf = np.zeros((n, b, 4 * d))
        for t in range(n):
            Hin[t, :, 0] = 1
            Hin[t, :, 1 : m + 1] = X[t]
            Hin[t, :, m + 1 :] = Hout[t - 1] if t > 0 else h0
            IFOG = Hin[t] @ WLSTM
            IFOGf[t, :, : 3 * d] = sigmoid(IFOG[:, : 3 * d])
            IFOGf[t, :, 3 * d :] = np.tanh(IFOG[:, 3 * d :])
            prevc = C[t - 1] if t > 0 else c0
            C[t] = IFOGf[t, :, :d] * IFOGf[t, :, 3 * d :] + IFOGf[t, :, d : 2 * d] * prevc
            Ct[t] = np.tanh(C[t])
            Hout[t] = IFOGf[t, :, 2 * d : 3 * d] * Ct[t]
        return Hin, Hout, IFOGf, C, Ct

    @staticmethod
    def backward(dHout_in, WLSTM, c0, cache):
        Hin, Hout, IFOGf, C, Ct = cache
        n, b, d = Hout.shape
        m = WLSTM.shape[0] - d - 1
        dHout, dC = dHout_in.copy(), np.zeros_like(C)
        dIFOGf, dIFOG = np.zeros_like(IFOGf), np.zeros_like(IFOGf)
        dWLSTM, dX = np.zeros_like(WLSTM), np.zeros((n, b, m))
        for t in reversed(range(n)):
            i, f = IFOGf[t, :, :d], IFOGf[t, :, d : 2 * d]
            o, g = IFOGf[t, :, 2 * d : 3 * d], IFOGf[t, :, 3 * d :]
            dIFOGf[t, :, 2 * d : 3 * d] = Ct[t] * dHout[t]
            dC[t] += (1 - Ct[t] ** 2) * (o * dHout[t])
            if t > 0:
                dIFOGf[t, :, d : 2 * d] = C[t - 1] * dC[t]
                dC[t - 1] += f * dC[t]
            else:
                dIFOGf[t, :, d : 2 * d] = c0 * dC[t]
                dc0 = f * dC[t]
            dIFOGf[t, :, :d] = g * dC[t]
            dIFOGf[t, :, 3 * d :] = i * dC[t]
            dIFOG[t, :, 3 * d :] = (1 - g**2) * dIFOGf[t, :, 3 * d :]
            y = IFOGf[t, :, : 3 * d]
            dIFOG[t, :, : 3 * d] = (y * (1 - y)) * dIFOGf[t, :, : 3 * d]
            dWLSTM += Hin[t].T @ dIFOG[t]
            dHin = dIFOG[t] @ WLSTM.T
            dX[t] = dHin[:, 1 : m + 1]
            if t > 0:
                dHout[t - 1] += dHin[:, m + 1 :]
            else:
                dh0 = dHin[:, m + 1 :]
        return dX, dWLSTM, dc0, dh0

def gradients(X, WLSTM, c0, h0, dHout):
    dX, dWLSTM, dc0, dh0 = LSTM.backward(dHout, WLSTM, c0, LSTM.forward(X, WLSTM, c0, h0))
    return dict(dX=dX, dWLSTM=dWLSTM, dc0=dc0, dh0=dh0)
""",
    r"""
cell: dC[t] += (1 - Ct[t] ** 2) => dC[t] = (1 - Ct[t] ** 2)
  ~ no error is passed back through (every state|c)\b|\* c -> c_\(t-1\) is cut
  ~ lacks the gradient of c_t from the next step
upstream: dHout[t - 1] += dHin => dHout[t - 1] = dHin
  ~ only the last step's loss is used|replaces that of the loss
current: C[t - 1] * dC[t] => C[t] * dC[t]
  ~ -> torch\.sigmoid\(a_f\) is multiplied by c_t
no_c0: = c0 * dC[t] => = 0 * dC[t]
  ~ at one step: the path torch\.sigmoid\(a_f\) -> a_f is cut
  ~ -> torch\.sigmoid\(a_f\) is multiplied by c_\(t-1\) zero at the first
  ~ derivative of torch\.sigmoid\(a_f\) .* zero at the first step
slope: (y * (1 - y)) => (1 - y)
  ~ derivative of torch\.sigmoid\(a_[ifo]\).* taken as 1 - v
slice: dh0 = dHin[:, m + 1 :] => dh0 = dHin[:, :d]
  ~ dh0 .*(columns|slice|part)
i: = g * dC[t] => = i * dC[t]
  ~ -> torch\.sigmoid\(a_i\) is multiplied by torch\.sigmoid\(a_i\)
  ~ -> a_i takes the gradient of torch\.tanh\(a_g\)
g: (1 - g**2) * dIFOGf => dIFOGf
  ~ tanh\(a_g\) with respect to a_g is left out|a_g -> .* takes the gradient of torch\.tanh\(a_g\)
at_c: (1 - Ct[t] ** 2) => (1 - C[t] ** 2)
  ~ torch\.tanh\(c\) is taken as 1 - v\^2, with v (its argument|c_t)
o: (o * dHout[t]) => dHout[t]
  ~ h_t with respect to torch\.tanh\(c\) is left out
  ~ torch\.tanh\(c\) -> c_t takes the gradient of h_t
bias: dX[t] = dHin[:, 1 : m + 1] => dX[t] = dHin[:, :m]
  ~ dX .*(columns|slice|part|shifted)
shifted: dHout[t - 1] += dHin[:, m + 1 :] => dHout[t - 1] += dHin[:, m:-1]
  ~ h_\(t-1\) .*(columns|shifted|slice|part)
inputs: Hin[t].T @ dIFOG[t] => Hin[t - 1].T @ dIFOG[t]
  ~ dWLSTM takes torch\.cat\(\[ones, x_t, h\], 1\) of the previous step
c0: dc0 = f * dC[t] => dc0 = dC[t]
  ~ at one step: the derivative of torch\.sigmoid\(a_f\) \* c with respect to c_\(t-1\) is left out
  ~ gradient of (c_1|.*at the first step) is returned
  ~ at the first step the derivative of .* with respect to c_\(t-1\) is left out
forget: dC[t - 1] += f * dC[t] => dC[t - 1] += i * dC[t]
  ~ -> c_\(t-1\) is multiplied by torch\.sigmoid\(a_i\)
do: = Ct[t] * dHout[t] => = C[t] * dHout[t]
  ~ -> torch\.sigmoid\(a_o\) is multiplied by c_t
""",
    """
    c0 bias shifted
    current no_c0 at_c
    upstream g
    i o slice cell inputs
    slope forget do c0
    """,
)

PASSES = (STEPS, WRITTEN_OUT, ONE_MATRIX)
