"""Mistakes in the tanh network's textbook pass, in the format of planted.py."""

PLANTED = """
- dy[np.arange(B), y[t]] -= 1
loss: the -1 at the target is missing from the softmax's gradient
+ pass
loss: 1 is subtracted from every entry of the softmax, not at the target alone
+ dy -= 1
loss: 1 is subtracted at the targets of all examples in every example
+ dy[:, y[t]] -= 1
loss: the sign is wrong: target minus probability
+ dy[np.arange(B), y[t]] -= 1; dy = -dy
loss: 1 is added at the target
+ dy[np.arange(B), y[t]] += 1
loss: the loss is averaged over the batch, not summed
+ dy[np.arange(B), y[t]] -= 1; dy /= B
loss: the loss is averaged over the time steps, not summed
+ dy[np.arange(B), y[t]] -= 1; dy /= T
loss: the loss is averaged over batch and time
+ dy[np.arange(B), y[t]] -= 1; dy /= y.size
loss: only the last step has a loss
+ dy[np.arange(B), y[t]] -= 1; dy *= t == T - 1
loss: the error is multiplied by p (1 - p), as if the outputs were sigmoids with a squared loss
+ dy[np.arange(B), y[t]] -= 1; dy *= p[t] * (1 - p[t])
loss: the targets of the step before are taken
+ dy[np.arange(B), y[t - 1]] -= 1

- e.sum(axis=1, keepdims=True)
loss: the softmax is normalised over the batch
+ e.sum(axis=0, keepdims=True)
loss: the softmax is normalised over batch and outputs together
+ e.sum()

- dV += h[t].T @ dy
dV: the state of the step before is taken for dV
+ dV += h[t - 1].T @ dy
dV: dV is overwritten at every step
+ dV = h[t].T @ dy

- dc += dy.sum(axis=0)
dc: dc is overwritten at every step
+ dc = dy.sum(axis=0)
dc: dc is never filled
+ pass

- dy @ V.T
loss: V is reshaped where it should be transposed
+ dy @ V.reshape(V.shape[::-1])

- dh = dy @ V.T + dh_next
h: the error from the next step is not added
+ dh = dy @ V.T
h: the error from the next step is added twice
+ dh = dy @ V.T + 2 * dh_next
h: the loss of a step does not reach its own state; only the last one's does
+ dh = dh_next if t < T - 1 else dy @ V.T

- dh_next = dz @ W.T
h: what is passed back is added up over the steps
+ dh_next = dh_next + dz @ W.T
h: tanh's derivative is left out of what is passed back
+ dh_next = dh @ W.T
h: W is not transposed on the way back
+ dh_next = dz @ W
h: the error goes back past W as if that were the identity
+ dh_next = dz
h: W is left out of what is passed back, and tanh' too
+ dh_next = dh
time: the error is clipped to -1 .. 1 at every step
+ dh_next = np.clip(dz @ W.T, -1, 1)
time: truncated: the state is detached at every third step
+ dh_next = dz @ W.T * (t % 3 != 0)
time: truncated: a loss reaches no further back than the step before
+ dh_next = (dy @ V.T * (1 - h[t] ** 2)) @ W.T

- dz = dh * (1 - h[t] ** 2)
tanh: tanh's derivative is left out
+ dz = dh
tanh: the square is forgotten in tanh's derivative
+ dz = dh * (1 - h[t])
tanh: the sigmoid's derivative is taken for tanh's
+ dz = dh * h[t] * (1 - h[t])
tanh: tanh is applied once more: 1 - tanh(h)^2
+ dz = dh * (1 - np.tanh(h[t]) ** 2)
tanh: the derivative is taken of the pre-activation: 1 - z^2
+ dz = dh * (1 - (x[t] @ U + h[t - 1] @ W + b) ** 2)
tanh: the derivative is taken at the state of the step before
+ dz = dh * (1 - h[t - 1] ** 2)
tanh: the whole is squared: (1 - h)^2
+ dz = dh * (1 - h[t]) ** 2
tanh: relu's derivative is taken for tanh's
+ dz = dh * (h[t] > 0)
tanh: the sign of tanh's derivative is wrong: 1 + h^2
+ dz = dh * (1 + h[t] ** 2)
tanh: the derivative applies to the loss's error only, not to what came from the next step
+ dz = dy @ V.T * (1 - h[t] ** 2) + dh_next

- dU += x[t].T @ dz
dU: dU is overwritten at every step
+ dU = x[t].T @ dz
dU: the input of the step before is taken for dU
+ dU += x[t - 1].T @ dz
dU: tanh's derivative is left out of dU
+ dU += x[t].T @ dh

- dW += h[t - 1].T @ dz
dW: dW is overwritten at every step
+ dW = h[t - 1].T @ dz
dW: the state of the same step is taken for dW
+ dW += h[t].T @ dz
dW: dW is transposed
+ dW += dz.T @ h[t - 1]
dW: the first step is left out, although h_0 is not 0
+ dW += (h[t - 1].T @ dz if t > 0 else 0)
dW: tanh's derivative is left out of dW
+ dW += h[t - 1].T @ dh

- db += dz.sum(axis=0)
db: db is overwritten at every step
+ db = dz.sum(axis=0)
db: the mean over the batch instead of the sum
+ db += dz.mean(axis=0)
db: db is summed over the hidden units, too
+ db += dz.sum()
db: only the first example counts for db
+ db += dz[0]
db: tanh's derivative is left out of db
+ db += dh.sum(axis=0)

- dx[t] = dz @ U.T
dx: tanh's derivative is left out of dx
+ dx[t] = dh @ U.T
dx: dx is stored in the order of the loop, last step first
+ dx[T - 1 - t] = dz @ U.T
dx: dx at a step contains the later steps', added up
+ dx[: t + 1] += dz @ U.T

- "dh_0": dh_next,
dh_0: no gradient is given for h_0
+ "dh_0": np.zeros_like(h_0),
dh_0: dh_0 lacks the last product with W
+ "dh_0": dz,
dh_0: dh_0 is the error of h_1
+ "dh_0": dh,

- "dW": dW,
time: dW is clipped to -5 .. 5 at the end
+ "dW": np.clip(dW, -5, 5),

- return {
time: every gradient of a weight is clipped to -1 .. 1
+ for k in (dU, dW, db, dV, dc): np.clip(k, -1, 1, out=k)
+     return {
all: every gradient of a weight is divided by the batch size
+ for k in (dU, dW, db, dV, dc): k /= B
+     return {

- for t in reversed(range(T)):
time: the loop back ends before the first step
+ for t in reversed(range(1, T)):
time: the loop back runs forward
+ for t in range(T):
time: the loop back begins at the last step but one
+ for t in reversed(range(max(1, T - 1))):

- h[-1] = h_0
forward: h_0 is not used: the state begins at 0
+ pass

- h[t - 1] @ W + b)
forward: the bias b is not added
+ h[t - 1] @ W)

- a = h[t] @ V + c
forward: the bias c is not added
+ a = h[t] @ V

- h[t] = np.tanh(x[t] @ U + h[t - 1] @ W + b)
forward: the state is a sigmoid, tanh's derivative is kept
+ h[t] = sigmoid(x[t] @ U + h[t - 1] @ W + b)

- h = np.zeros((T + 1, B, len(W)), x.dtype)
all: the states are kept in float32
+ h = np.zeros((T + 1, B, len(W)), np.float32)

- dx, dU, dW, db, dV, dc = (np.zeros_like(k) for k in (x, U, W, b, V, c))
all: the gradients are added to those of the call before
+ dx, dU, db, dV, dc = (np.zeros_like(k) for k in (x, U, b, V, c))
+     dW = globals().setdefault(f"dW of {W.shape}", np.zeros_like(W))
"""

PAIRS = """
W is not transposed on the way back
& dV is overwritten at every step
the square is forgotten in tanh's derivative
& the state of the same step is taken for dW
the loss is averaged over the batch, not summed
& the error from the next step is not added
no gradient is given for h_0
& the mean over the batch instead of the sum
the -1 at the target is missing from the softmax's gradient
& tanh's derivative is left out of what is passed back
"""

STRANGE = """
- dh_next = dz @ W.T
h: the error fades by a tenth with every step, as rewards are discounted
+ dh_next = 0.9 * dz @ W.T

- dz = dh * (1 - h[t] ** 2)
tanh: the errors of neighbouring units are exchanged
+ dz = np.roll(dh * (1 - h[t] ** 2), 1, axis=1)
tanh: only errors above 0 are passed on
+ dz = np.maximum(dh * (1 - h[t] ** 2), 0)
tanh: only the sign of the error is kept
+ dz = np.sign(dh) * (1 - h[t] ** 2)
time: every second step's error is dropped
+ dz = dh * (1 - h[t] ** 2) * (t % 2 == 0)

- "dW": dW,
dW: a weight decay is in dW
+ "dW": dW + 1e-4 * W,
dW: dW is symmetric by force
+ "dW": (dW + dW.T) / 2,

- dh = dy @ V.T + dh_next
all: the error is scaled to norm 1 at every step
+ dh = dy @ V.T + dh_next; dh /= 1 + np.linalg.norm(dh)

- dx[t] = dz @ U.T
dx: an example gets the next example's dx
+ dx[t] = np.roll(dz @ U.T, 1, axis=0)
"""
