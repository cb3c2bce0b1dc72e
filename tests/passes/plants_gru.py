"""Mistakes in the GRU's textbook pass, in the format of planted.py."""

PLANTED = """
- dy[np.arange(B), y[t]] -= 1
loss: the -1 at the target is missing from the softmax's gradient
+ pass
loss: the sign is wrong: target minus probability
+ dy[np.arange(B), y[t]] -= 1; dy = -dy
loss: the loss is averaged over the batch, not summed
+ dy[np.arange(B), y[t]] -= 1; dy /= B
loss: only the last step has a loss
+ dy[np.arange(B), y[t]] -= 1; dy *= t == T - 1

- dV += h[t].T @ dy
dV: the state of the step before is taken for dV
+ dV += h[t - 1].T @ dy

- dc += dy.sum(axis=0)
dc: dc is the mean over the batch
+ dc += dy.mean(axis=0)

- dh = dy @ V.T + dh_next
h: the error from the next step is not added
+ dh = dy @ V.T
h: the error from the next step replaces that of the loss
+ dh = dh_next if t < T - 1 else dy @ V.T
time: the error is clipped to -1 .. 1 at every step
+ dh = np.clip(dy @ V.T + dh_next, -1, 1)
time: truncated: the state is detached at every third step
+ dh = dy @ V.T + dh_next * ((t + 1) % 3 != 0)

- dh_next = dh * z[t]
h: the direct path z h_(t-1) is missing
+ dh_next = 0 * dh
h: the direct path is not multiplied by z
+ dh_next = dh.copy()
h: the direct path is multiplied by 1 - z
+ dh_next = dh * (1 - z[t])
h: the direct path is there twice
+ dh_next = 2 * dh * z[t]
h: the direct path takes the z of the step before
+ dh_next = dh * z[t - 1]

- dz = dh * (h[t - 1] - n[t])
z: h_(t-1) is left out of the update gate's error
+ dz = dh * -n[t]
z: the sign is wrong: n - h_(t-1)
+ dz = dh * (n[t] - h[t - 1])
z: the gate's error takes h_t, not h_(t-1)
+ dz = dh * (h[t] - n[t])
z: the candidate is left out of the update gate's error
+ dz = dh * h[t - 1]
z: the gate's error is a sum where it should be a difference
+ dz = dh * (h[t - 1] + n[t])

- dn = dh * (1 - z[t])
n: the candidate's error is multiplied by z, not 1 - z
+ dn = dh * z[t]
n: the factor 1 - z is missing
+ dn = dh

- da_n = dn * (1 - n[t] ** 2)
n: tanh's derivative is left out
+ da_n = dn
n: the square is forgotten in tanh's derivative
+ da_n = dn * (1 - n[t])
n: the sigmoid's derivative is taken for the candidate's tanh
+ da_n = dn * n[t] * (1 - n[t])
n: the derivative is taken of h_t, not of the candidate
+ da_n = dn * (1 - h[t] ** 2)
n: tanh is applied once more
+ da_n = dn * (1 - np.tanh(n[t]) ** 2)

- dm = da_n * r[t]
n: the reset gate is missing on the way back into the recurrent product
+ dm = da_n
n: the update gate is taken for the reset gate
+ dm = da_n * z[t]
n: tanh's derivative is missing on the way through the reset gate to the state
+ dm = dn * r[t]
n: the reset gate of the step before is taken
+ dm = da_n * r[t - 1]

- dr = da_n * m[t]
r: the reset gate gets no error at all
+ dr = np.zeros_like(da_n)
r: the reset gate's error takes h_(t-1), as if the gate came before the product
+ dr = da_n * h[t - 1]
r: the bias d is left out of what the reset gate multiplies
+ dr = da_n * (m[t] - d)
r: the reset gate's error lacks tanh's derivative
+ dr = dn * m[t]
r: the reset gate's error takes the candidate instead of its recurrent part
+ dr = da_n * n[t]
r: the product of the next step's state is taken for the reset gate
+ dr = da_n * (h[t] @ W_n + d)
r: the reset gate is multiplied in once too often
+ dr = dm * m[t]

- da_z = dz * z[t] * (1 - z[t])
z: the sigmoid's derivative is left out
+ da_z = dz
z: only half of the sigmoid's derivative is there
+ da_z = dz * (1 - z[t])
z: tanh's derivative is taken for the sigmoid's
+ da_z = dz * (1 - z[t] ** 2)
z: the derivative is taken of the other gate
+ da_z = dz * r[t] * (1 - r[t])
z: the derivative is taken of the gate one step before
+ da_z = dz * z[t - 1] * (1 - z[t - 1])

- da_r = dr * r[t] * (1 - r[t])
r: the sigmoid's derivative is left out
+ da_r = dr
r: tanh's derivative is taken for the sigmoid's
+ da_r = dr * (1 - r[t] ** 2)
r: the sigmoid is applied once more in its derivative
+ da_r = dr * sigmoid(r[t]) * (1 - sigmoid(r[t]))

- da = np.hstack([da_r, da_z, da_n])
gates: r and z are exchanged where the gates are put together
+ da = np.hstack([da_z, da_r, da_n])
gates: the order is z, n, r where the gates are put together
+ da = np.hstack([da_z, da_n, da_r])

- np.hstack([da_r, da_z, dm])
dW: r and z are exchanged in dW alone
+ np.hstack([da_z, da_r, dm])
dW: the reset gate is forgotten in dW
+ da

- dW += h[t - 1].T @ np.hstack([da_r, da_z, dm])
dW: the reset gate is applied to the state, too
+ dW += np.hstack([h[t - 1].T @ da_r, h[t - 1].T @ da_z, (r[t] * h[t - 1]).T @ dm])

- dW += h[t - 1].T @
dW: the state of the same step is taken for dW
+ dW += h[t].T @
dW: dW is overwritten at every step
+ dW = h[t - 1].T @

- dU += x[t].T @ da
dU: dU is overwritten at every step
+ dU = x[t].T @ da
dU: dU gets what belongs to W: the reset gate is in it
+ dU += x[t].T @ np.hstack([da_r, da_z, dm])

- db += da.sum(axis=0)
db: db is the mean over the batch
+ db += da.mean(axis=0)
db: db is overwritten at every step
+ db = da.sum(axis=0)

- dd += dm.sum(axis=0)
dd: the reset gate is forgotten in the recurrent bias
+ dd += da_n.sum(axis=0)
dd: the recurrent bias gets no gradient
+ pass
dd: the recurrent bias sees the first example only
+ dd += dm[0]

- dx[t] = da @ U.T
dx: dx lacks the gates: only the candidate's share
+ dx[t] = da_n @ U[:, 2 * H :].T
dx: dx is stored in the order of the loop, last step first
+ dx[T - 1 - t] = da @ U.T

- dh_next += da_r @ W_r.T
h: the reset gate's path back to the state is missing
+ pass
h: the reset gate's path back goes through the candidate's weights
+ dh_next += da_r @ W_n.T

- dh_next += da_z @ W_z.T
h: the update gate's path back to the state is missing
+ pass
h: the update gate's weights are not transposed
+ dh_next += da_z @ W_z

- dh_next += dm @ W_n.T
h: the candidate's path back to the state is missing
+ pass
h: the candidate's path back lacks the reset gate
+ dh_next += da_n @ W_n.T
h: the candidate's weights are not transposed
+ dh_next += dm @ W_n
h: the candidate's path replaces the others
+ dh_next = dm @ W_n.T

- "dh_0": dh_next,
dh_0: no gradient is given for h_0
+ "dh_0": np.zeros_like(h_0),

- h[-1] = h_0
forward: h_0 is not used: the state begins at 0
+ pass

- h[t] = (1 - z[t]) * n[t] + z[t] * h[t - 1]
forward: z and 1 - z are exchanged in the forward pass alone
+ h[t] = z[t] * n[t] + (1 - z[t]) * h[t - 1]

- n[t] = np.tanh(a[:, 2 * H :] + r[t] * m[t])
forward: the recurrent bias is outside of the reset gate in the forward pass
+ n[t] = np.tanh(a[:, 2 * H :] + r[t] * (m[t] - d) + d)

- W_r, W_z, W_n = W[:, :H], W[:, H : 2 * H], W[:, 2 * H :]
forward: r and z are exchanged where W is cut up
+ W_z, W_r, W_n = W[:, :H], W[:, H : 2 * H], W[:, 2 * H :]

- for t in reversed(range(T)):
time: the loop back runs forward
+ for t in range(T):

- h = np.zeros((T + 1, B, H), x.dtype)
all: the states are kept in float32
+ h = np.zeros((T + 1, B, H), np.float32)

- return {
all: every gradient of a weight is divided by the batch size
+ for k in (dU, dW, db, dd, dV, dc): k /= B
+     return {
"""

PAIRS = """
the direct path z h_(t-1) is missing
& the sign is wrong: n - h_(t-1)
the reset gate is forgotten in dW
& the reset gate is forgotten in the recurrent bias
the loss is averaged over the batch, not summed
& the update gate's weights are not transposed
tanh's derivative is left out
& the reset gate's path back to the state is missing
the candidate's error is multiplied by z, not 1 - z
& the direct path is multiplied by 1 - z
no gradient is given for h_0
& db is overwritten at every step
"""

STRANGE = """
- dh_next = dh * z[t]
h: the direct path is multiplied by the root of z
+ dh_next = dh * np.sqrt(z[t])

- da_n = dn * (1 - n[t] ** 2)
n: the candidate's error is shared out evenly over the units
+ da_n = dn.mean(axis=1, keepdims=True) * (1 - n[t] ** 2)

- da_z = dz * z[t] * (1 - z[t])
z: the update gate's error is rounded to two decimals
+ da_z = np.round(dz * z[t] * (1 - z[t]), 2)

- dm = da_n * r[t]
r: a straight-through estimator: the reset gate counts as open or shut
+ dm = da_n * (r[t] > 0.5)

- dh = dy @ V.T + dh_next
time: errors of odd steps count double
+ dh = (dy @ V.T + dh_next) * (1 + t % 2)

- "dW": dW,
dW: units do not see themselves: W's diagonal blocks get no gradient
+ "dW": dW * (1 - np.tile(np.eye(H), 3)),

- "dV": dV,
dV: noise of one part in a million
+ "dV": dV * (1 + 1e-6 * np.cos(V)),
"""
