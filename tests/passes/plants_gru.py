"""Mistakes in the GRU's textbook pass, in the format of planted.py."""

PLANTED = """
- dy[np.arange(B), y[t]] -= 1
+ pass  # loss: the -1 at the target is missing from the softmax's gradient
+ dy[np.arange(B), y[t]] -= 1; dy = -dy  # loss: the sign is wrong: target minus probability
+ dy[np.arange(B), y[t]] -= 1; dy /= B  # loss: the loss is averaged over the batch, not summed
+ dy[np.arange(B), y[t]] -= 1; dy *= t == T - 1  # loss: only the last step has a loss

- dV += h[t].T @ dy
+ dV += h[t - 1].T @ dy  # dV: the state of the step before is taken for dV

- dc += dy.sum(axis=0)
+ dc += dy.mean(axis=0)  # dc: dc is the mean over the batch

- dh = dy @ V.T + dh_next
+ dh = dy @ V.T  # h: the error from the next step is not added
# h: the error from the next step replaces that of the loss
+ dh = dh_next if t < T - 1 else dy @ V.T
+ dh = np.clip(dy @ V.T + dh_next, -1, 1)  # time: the error is clipped to -1 .. 1 at every step
# time: truncated: the state is detached at every third step
+ dh = dy @ V.T + dh_next * ((t + 1) % 3 != 0)

- dh_next = dh * z[t]
+ dh_next = 0 * dh  # h: the direct path z h_(t-1) is missing
+ dh_next = dh.copy()  # h: the direct path is not multiplied by z
+ dh_next = dh * (1 - z[t])  # h: the direct path is multiplied by 1 - z
+ dh_next = 2 * dh * z[t]  # h: the direct path is there twice
+ dh_next = dh * z[t - 1]  # h: the direct path takes the z of the step before

- dz = dh * (h[t - 1] - n[t])
+ dz = dh * -n[t]  # z: h_(t-1) is left out of the update gate's error
+ dz = dh * (n[t] - h[t - 1])  # z: the sign is wrong: n - h_(t-1)
+ dz = dh * (h[t] - n[t])  # z: the gate's error takes h_t, not h_(t-1)
+ dz = dh * h[t - 1]  # z: the candidate is left out of the update gate's error
+ dz = dh * (h[t - 1] + n[t])  # z: the gate's error is a sum where it should be a difference

- dn = dh * (1 - z[t])
+ dn = dh * z[t]  # n: the candidate's error is multiplied by z, not 1 - z
+ dn = dh  # n: the factor 1 - z is missing

- da_n = dn * (1 - n[t] ** 2)
+ da_n = dn  # n: tanh's derivative is left out
+ da_n = dn * (1 - n[t])  # n: the square is forgotten in tanh's derivative
+ da_n = dn * n[t] * (1 - n[t])  # n: the sigmoid's derivative is taken for the candidate's tanh
+ da_n = dn * (1 - h[t] ** 2)  # n: the derivative is taken of h_t, not of the candidate
+ da_n = dn * (1 - np.tanh(n[t]) ** 2)  # n: tanh is applied once more

- dm = da_n * r[t]
+ dm = da_n  # n: the reset gate is missing on the way back into the recurrent product
+ dm = da_n * z[t]  # n: the update gate is taken for the reset gate
+ dm = dn * r[t]  # n: tanh's derivative is missing on the way through the reset gate to the state
+ dm = da_n * r[t - 1]  # n: the reset gate of the step before is taken

- dr = da_n * m[t]
+ dr = np.zeros_like(da_n)  # r: the reset gate gets no error at all
# r: the reset gate's error takes h_(t-1), as if the gate came before the product
+ dr = da_n * h[t - 1]
+ dr = da_n * (m[t] - d)  # r: the bias d is left out of what the reset gate multiplies
+ dr = dn * m[t]  # r: the reset gate's error lacks tanh's derivative
+ dr = da_n * n[t]  # r: the reset gate's error takes the candidate instead of its recurrent part
# r: the product of the next step's state is taken for the reset gate
+ dr = da_n * (h[t] @ W_n + d)
+ dr = dm * m[t]  # r: the reset gate is multiplied in once too often

- da_z = dz * z[t] * (1 - z[t])
+ da_z = dz  # z: the sigmoid's derivative is left out
+ da_z = dz * (1 - z[t])  # z: only half of the sigmoid's derivative is there
+ da_z = dz * (1 - z[t] ** 2)  # z: tanh's derivative is taken for the sigmoid's
+ da_z = dz * r[t] * (1 - r[t])  # z: the derivative is taken of the other gate
+ da_z = dz * z[t - 1] * (1 - z[t - 1])  # z: the derivative is taken of the gate one step before

- da_r = dr * r[t] * (1 - r[t])
+ da_r = dr  # r: the sigmoid's derivative is left out
+ da_r = dr * (1 - r[t] ** 2)  # r: tanh's derivative is taken for the sigmoid's
# r: the sigmoid is applied once more in its derivative
+ da_r = dr * sigmoid(r[t]) * (1 - sigmoid(r[t]))

- da = np.hstack([da_r, da_z, da_n])
# gates: r and z are exchanged where the gates are put together
+ da = np.hstack([da_z, da_r, da_n])
+ da = np.hstack([da_z, da_n, da_r])  # gates: the order is z, n, r where the gates are put together

- np.hstack([da_r, da_z, dm])
+ np.hstack([da_z, da_r, dm])  # dW: r and z are exchanged in dW alone
+ da  # dW: the reset gate is forgotten in dW

- dW += h[t - 1].T @ np.hstack([da_r, da_z, dm])
# dW: the reset gate is applied to the state, too
+ dW += np.hstack([h[t - 1].T @ da_r, h[t - 1].T @ da_z, (r[t] * h[t - 1]).T @ dm])

- dW += h[t - 1].T @
+ dW += h[t].T @  # dW: the state of the same step is taken for dW
+ dW = h[t - 1].T @  # dW: dW is overwritten at every step

- dU += x[t].T @ da
+ dU = x[t].T @ da  # dU: dU is overwritten at every step
# dU: dU gets what belongs to W: the reset gate is in it
+ dU += x[t].T @ np.hstack([da_r, da_z, dm])

- db += da.sum(axis=0)
+ db += da.mean(axis=0)  # db: db is the mean over the batch
+ db = da.sum(axis=0)  # db: db is overwritten at every step

- dd += dm.sum(axis=0)
+ dd += da_n.sum(axis=0)  # dd: the reset gate is forgotten in the recurrent bias
+ pass  # dd: the recurrent bias gets no gradient
+ dd += dm[0]  # dd: the recurrent bias sees the first example only

- dx[t] = da @ U.T
+ dx[t] = da_n @ U[:, 2 * H :].T  # dx: dx lacks the gates: only the candidate's share
+ dx[T - 1 - t] = da @ U.T  # dx: dx is stored in the order of the loop, last step first

- dh_next += da_r @ W_r.T
+ pass  # h: the reset gate's path back to the state is missing
+ dh_next += da_r @ W_n.T  # h: the reset gate's path back goes through the candidate's weights

- dh_next += da_z @ W_z.T
+ pass  # h: the update gate's path back to the state is missing
+ dh_next += da_z @ W_z  # h: the update gate's weights are not transposed

- dh_next += dm @ W_n.T
+ pass  # h: the candidate's path back to the state is missing
+ dh_next += da_n @ W_n.T  # h: the candidate's path back lacks the reset gate
+ dh_next += dm @ W_n  # h: the candidate's weights are not transposed
+ dh_next = dm @ W_n.T  # h: the candidate's path replaces the others

- "dh_0": dh_next,
+ "dh_0": np.zeros_like(h_0),  # dh_0: no gradient is given for h_0

- h[-1] = h_0
+ pass  # forward: h_0 is not used: the state begins at 0

- h[t] = (1 - z[t]) * n[t] + z[t] * h[t - 1]
# forward: z and 1 - z are exchanged in the forward pass alone
+ h[t] = z[t] * n[t] + (1 - z[t]) * h[t - 1]

- n[t] = np.tanh(a[:, 2 * H :] + r[t] * m[t])
# forward: the recurrent bias is outside of the reset gate in the forward pass
+ n[t] = np.tanh(a[:, 2 * H :] + r[t] * (m[t] - d) + d)

- W_r, W_z, W_n = W[:, :H], W[:, H : 2 * H], W[:, 2 * H :]
# forward: r and z are exchanged where W is cut up
+ W_z, W_r, W_n = W[:, :H], W[:, H : 2 * H], W[:, 2 * H :]

- for t in reversed(range(T)):
+ for t in range(T):  # time: the loop back runs forward

- h = np.zeros((T + 1, B, H), x.dtype)
+ h = np.zeros((T + 1, B, H), np.float32)  # all: the states are kept in float32

- return {
# all: every gradient of a weight is divided by the batch size
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
+ dh_next = dh * np.sqrt(z[t])  # h: the direct path is multiplied by the root of z

- da_n = dn * (1 - n[t] ** 2)
# n: the candidate's error is shared out evenly over the units
+ da_n = dn.mean(axis=1, keepdims=True) * (1 - n[t] ** 2)

- da_z = dz * z[t] * (1 - z[t])
# z: the update gate's error is rounded to two decimals
+ da_z = np.round(dz * z[t] * (1 - z[t]), 2)

- dm = da_n * r[t]
+ dm = da_n * (r[t] > 0.5)  # r: a straight-through estimator: the reset gate counts as open or shut

- dh = dy @ V.T + dh_next
+ dh = (dy @ V.T + dh_next) * (1 + t % 2)  # time: errors of odd steps count double

- "dW": dW,
# dW: units do not see themselves: W's diagonal blocks get no gradient
+ "dW": dW * (1 - np.tile(np.eye(H), 3)),

- "dV": dV,
+ "dV": dV * (1 + 1e-6 * np.cos(V)),  # dV: noise of one part in a million
"""
