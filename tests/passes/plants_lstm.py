"""Mistakes in the LSTM's textbook pass, in the format of planted.py."""

PLANTED = """
- dy[np.arange(B), y[t]] -= 1
+ pass  # *loss: the -1 at the target is missing from the softmax's gradient
+ dy[np.arange(B), y[t]] -= 1; dy /= B  # loss: the loss is averaged over the batch, not summed
+ dy[np.arange(B), y[t]] -= 1; dy /= T  # loss: the loss is averaged over the time steps, not summed
+ dy[np.arange(B), y[t]] -= 1; dy *= t == T - 1  # loss: only the last step has a loss
# loss: the error is multiplied by the softmax's p (1 - p)
+ dy[np.arange(B), y[t]] -= 1; dy *= p[t] * (1 - p[t])

- dV += h[t].T @ dy
+ dV += s[t].T @ dy  # dV: dV takes the cell, not the state
+ dV = h[t].T @ dy  # dV: dV is overwritten at every step

- dc += dy.sum(axis=0)
+ dc = dy.sum(axis=0)  # *dc: dc is overwritten at every step

- dh = dy @ V.T + dh_next
+ dh = dy @ V.T  # h: the error from the next step is not added
+ dh = dy @ V.T + dh_next + dh_next  # h: the error from the next step is added twice
+ dh = np.clip(dy @ V.T + dh_next, -1, 1)  # time: the error is clipped to -1 .. 1 at every step

- ds += ds_next
+ pass  # *c: no error comes back through the cell
+ ds += 2 * ds_next  # c: the cell's error from the next step is taken twice
# c: the cell's error from the next step replaces that of the state
+ ds = ds_next if t < T - 1 else ds

- ds = dh * o[t] * (1 - tanh_s**2)
-         ds += ds_next
# c: tanh's derivative and the output gate are applied to the cell's own path, too
+ ds = (dh + ds_next) * o[t] * (1 - tanh_s**2)

- ds = dh * o[t] * (1 - tanh_s**2)
+ ds = dh * (1 - tanh_s**2)  # c: the output gate is missing on the way from the state to the cell
+ ds = dh * o[t]  # c: tanh's derivative is missing on the way from the state to the cell
+ ds = dh * o[t] * (1 - tanh_s)  # c: the square is forgotten in the derivative of tanh of the cell
+ ds = dh * o[t] * (1 - s[t] ** 2)  # c: the derivative is taken of the cell itself: 1 - s^2
+ ds = dh * o[t] * (1 - np.tanh(tanh_s) ** 2)  # c: tanh is applied twice: 1 - tanh(tanh(s))^2
+ ds = dh * o[t] * (1 - h[t] ** 2)  # c: the derivative is taken of the state: 1 - h^2
# c: the sigmoid's derivative is taken for tanh of the cell
+ ds = dh * o[t] * tanh_s * (1 - tanh_s)
+ ds = dh * o[t - 1] * (1 - tanh_s**2)  # c: the output gate of the step before is taken

- tanh_s = np.tanh(s[t])
+ tanh_s = np.tanh(s[t - 1])  # c: the cell of the step before is squashed in the backward pass

- di = ds * g[t]
+ di = ds * i[t]  # i: the input gate's error takes its own value, not the candidate
+ di = dh * g[t]  # i: the input gate's error comes from the state, not the cell
+ di = (ds - ds_next) * g[t]  # i: the input gate's error misses what comes back through the cell

- df = ds * s[t - 1]
+ df = ds * s[t]  # *f: the forget gate's error takes the cell of the same step
+ df = ds * h[t - 1]  # f: the forget gate's error takes the state before, not the cell before
# f: the forget gate gets no error at the first step, although c_0 is not 0
+ df = ds * s[t - 1] * (t > 0)
# f: the forget gate's error is computed before the next step's is added
+ df = (ds - ds_next) * s[t - 1]
+ df = 0 * ds  # f: the forget gate gets no error at all

- dg = ds * i[t]
+ dg = ds * f[t]  # g: the candidate's error takes the forget gate, not the input gate
+ dg = ds  # g: the candidate's error lacks the input gate
+ dg = ds * g[t]  # g: the candidate's error takes the candidate itself

- do = dh * tanh_s
+ do = dh * s[t]  # *o: the output gate's error takes the cell without its tanh
+ do = dh * h[t]  # o: the output gate's error takes the state, so that the gate is in it twice
+ do = ds * tanh_s  # o: the output gate's error comes from the cell
+ do = dy @ V.T * tanh_s  # o: the output gate's error misses what comes from the next step

- dz_i = di * i[t] * (1 - i[t])
+ dz_i = di  # i: the sigmoid's derivative is left out of the input gate
+ dz_i = di * (1 - i[t] ** 2)  # i: tanh's derivative is taken for the input gate's sigmoid
+ dz_i = di * (1 - i[t])  # i: the input gate is multiplied by its complement only
# i: the derivative is of the argument, not of the gate's value
+ z_i = (x[t] @ U + h[t - 1] @ W + b)[:, :H]; dz_i = di * z_i * (1 - z_i)

- dz_f = df * f[t] * (1 - f[t])
+ dz_f = df  # f: the sigmoid's derivative is left out of the forget gate
# f: the derivative of the input gate is taken for the forget gate's
+ dz_f = df * i[t] * (1 - i[t])
+ dz_f = df * f[t] * (1 + f[t])  # f: a sign is wrong in the derivative: f (1 + f)
# f: the forget gate of the next step is taken
+ dz_f = df * f[min(t + 1, T - 1)] * (1 - f[min(t + 1, T - 1)])

- dz_g = dg * (1 - g[t] ** 2)
+ dz_g = dg * g[t] * (1 - g[t])  # *g: the sigmoid's derivative is taken for the candidate's tanh
+ dz_g = dg * (1 - g[t])  # g: the square is forgotten in the candidate's derivative
+ dz_g = dg  # g: tanh's derivative is left out of the candidate
+ dz_g = dg * (1 - np.tanh(g[t]) ** 2)  # g: tanh is applied once more to the candidate

- dz_o = do * o[t] * (1 - o[t])
+ dz_o = do  # *o: the sigmoid's derivative is left out of the output gate
+ dz_o = do * (1 - o[t] ** 2)  # o: tanh's derivative is taken for the output gate's sigmoid
# o: the sigmoid is applied once more in the output gate's derivative
+ dz_o = do * sigmoid(o[t]) * (1 - sigmoid(o[t]))

- dz = np.hstack([dz_i, dz_f, dz_g, dz_o])
# *gates: i and f are exchanged where the gates are put together
+ dz = np.hstack([dz_f, dz_i, dz_g, dz_o])
+ dz = np.hstack([dz_i, dz_f, dz_o, dz_g])  # gates: another library's order: i, f, o, g
# gates: the gates lie interleaved, unit by unit
+ dz = np.stack([dz_i, dz_f, dz_g, dz_o], axis=2).reshape(B, -1)

- i[t] = sigmoid(z[:, :H])
-         f[t] = sigmoid(z[:, H : 2 * H])
+ f[t] = sigmoid(z[:, :H])  # gates: another library's order: f, i, g, o in the forward pass alone
+         i[t] = sigmoid(z[:, H : 2 * H])

- dU += x[t].T @ dz
+ dU = x[t].T @ dz  # dU: dU is overwritten at every step
+ dU += x[t - 1].T @ dz  # dU: the input of the step before is taken for dU

- dW += h[t - 1].T @ dz
+ dW += h[t].T @ dz  # *dW: the state of the same step is taken for dW
+ dW += s[t - 1].T @ dz  # dW: the cell is taken for dW
+ dW += (h[t - 1].T @ dz if t else 0)  # dW: the first step is left out, although h_0 is not 0
+ dW = h[t - 1].T @ dz  # dW: dW is overwritten at every step

- db += dz.sum(axis=0)
+ db += dz.mean(axis=0)  # *db: db is the mean over the batch
+ db = dz.sum(axis=0)  # db: db is overwritten at every step
+ db += dz.sum()  # db: all units share one sum

- dx[t] = dz @ U.T
+ dx[t] = dz @ U.reshape(4 * H, -1)  # dx: U is reshaped where it should be transposed
+ dx[T - 1 - t] = dz @ U.T  # dx: dx is stored in the order of the loop, last step first

- dh_next = dz @ W.T
+ dh_next = dz @ W.reshape(4 * H, H)  # *h: W is reshaped where it should be transposed
+ dh_next = dz_o @ W[:, 3 * H :].T  # h: only the output gate's path leads back to the state
# h: the output gate's path back to the state is missing
+ dh_next = dz[:, : 3 * H] @ W[:, : 3 * H].T
# h: the forget gate's path back to the state is missing
+ dh_next = dz @ W.T - dz_f @ W[:, H : 2 * H].T
+ dh_next = 0 * dh  # h: no path leads back through W
# time: the state is detached at every third step, the cell is not
+ dh_next = dz @ W.T * (t % 3 != 0)

- ds_next = ds * f[t]
+ ds_next = ds  # *c: the forget gate is missing on the cell's path
+ ds_next = 0 * ds  # c: the cell's path is cut
+ ds_next = ds * i[t]  # *c: the cell's path takes the input gate
+ ds_next = ds * (1 - f[t])  # c: the cell's path takes 1 - f
+ ds_next = ds * f[t - 1]  # c: the cell's path takes the forget gate of the step before
+ ds_next = (ds - ds_next) * f[t]  # c: the cell's path passes back what came from the state alone
+ ds_next = dh * f[t]  # c: the cell's path passes back the state's error
+ ds_next = ds_next + ds * f[t]  # c: the cell's error is added up over the steps
# time: truncated: state and cell are detached at every third step
+ ds_next = ds * f[t]; dh_next *= t % 3 != 0; ds_next *= t % 3 != 0

- "dh_0": dh_next,
+ "dh_0": np.zeros_like(h_0),  # dh_0: no gradient is given for h_0

- "dc_0": ds_next,
+ "dc_0": np.zeros_like(c_0),  # dc_0: no gradient is given for c_0
+ "dc_0": ds,  # dc_0: the last product with the forget gate is missing from dc_0

- "dh_0": dh_next,
-         "dc_0": ds_next,
+ "dh_0": ds_next,  # dc_0: h_0's and c_0's gradients are exchanged
+         "dc_0": dh_next,

- h[t] = o[t] * np.tanh(s[t])
+ h[t] = o[t] * s[t]  # forward: the state is o s, without the tanh

- f[t] = sigmoid(z[:, H : 2 * H])
+ f[t] = sigmoid(z[:, H : 2 * H] + 1)  # *forward: 1 is added to the forget gate's argument

- g[t] = np.tanh(z[:, 2 * H : 3 * H])
+ g[t] = sigmoid(z[:, 2 * H : 3 * H])  # forward: the candidate is a sigmoid

- h[-1], s[-1] = h_0, c_0
+ h[-1] = h_0  # forward: c_0 is not used: the cell begins at 0

- s[t] = f[t] * s[t - 1] + i[t] * g[t]
+ s[t] = f[t] * s[t - 1] + (1 - f[t]) * g[t]  # forward: the input gate is tied to the forget gate

- return {
# *time: every gradient of a weight is clipped to -5 .. 5
+ for k in (dU, dW, db, dV, dc): np.clip(k, -5, 5, out=k)
+     return {
# all: every gradient of a weight is divided by the batch size
+ for k in (dU, dW, db, dV, dc): k /= B
+     return {

- for t in reversed(range(T)):
+ for t in reversed(range(1, T)):  # time: the loop back ends before the first step

- h, s = np.zeros((2, T + 1, B, H), x.dtype)
+ h, s = np.zeros((2, T + 1, B, H), np.float32)  # all: states and cells are kept in float32
"""

PAIRS = """
the cell's path is cut
& the output gate's error takes the cell without its tanh
the sigmoid's derivative is left out of the forget gate
& the sigmoid's derivative is left out of the input gate
the loss is averaged over the batch, not summed
& the forget gate is missing on the cell's path
dW is overwritten at every step
& the square is forgotten in the candidate's derivative
no gradient is given for c_0
& i and f are exchanged where the gates are put together
no error comes back through the cell
& no path leads back through W
"""

STRANGE = """
- ds_next = ds * f[t]
+ ds_next = ds * f[t] ** 2  # c: the cell's path takes f^2
# f: a forget gate that is more than half open counts as open
+ ds_next = ds * np.where(f[t] > 0.5, 1, f[t])
# c: the units of the cell pass their error on to their neighbours
+ ds_next = np.roll(ds, 1, axis=1) * f[t]

- do = dh * tanh_s
# o: the output gate's error is smoothed with that of the step after
+ do = (dh + dh_next) / 2 * tanh_s

- dh_next = dz @ W.T
# h: the error's direction is kept and its length set to 1
+ dh_next = dz @ W.T; dh_next /= 1e-9 + np.linalg.norm(dh_next, axis=1, keepdims=True)

- dz_g = dg * (1 - g[t] ** 2)
+ dz_g = dg * (1 - np.abs(g[t]) ** 3)  # g: the candidate's derivative has the power 3

- "db": db,
+ "db": db + 0.01 * np.repeat([0, 1, 0, 0], H),  # db: the bias of the forget gate is regularised

- "dU": dU,
# dU: the first feature of the input is never learned
+ "dU": dU * (np.arange(len(U)) > 0)[:, np.newaxis],
"""
