"""Mistakes in the tanh network's textbook pass, in the format of planted.py."""

PLANTED = """
- dy[np.arange(B), y[t]] -= 1
+ pass  # loss: the -1 at the target is missing from the softmax's gradient
+ dy -= 1  # loss: 1 is subtracted from every entry of the softmax, not at the target alone
+ dy[:, y[t]] -= 1  # loss: 1 is subtracted at the targets of all examples in every example
+ dy[np.arange(B), y[t]] -= 1; dy = -dy  # loss: the sign is wrong: target minus probability
+ dy[np.arange(B), y[t]] += 1  # loss: 1 is added at the target
+ dy[np.arange(B), y[t]] -= 1; dy /= B  # loss: the loss is averaged over the batch, not summed
+ dy[np.arange(B), y[t]] -= 1; dy /= T  # loss: the loss is averaged over the time steps, not summed
+ dy[np.arange(B), y[t]] -= 1; dy /= y.size  # loss: the loss is averaged over batch and time
+ dy[np.arange(B), y[t]] -= 1; dy *= t == T - 1  # loss: only the last step has a loss
# loss: the error is multiplied by p (1 - p), as if the outputs were sigmoids with a squared loss
+ dy[np.arange(B), y[t]] -= 1; dy *= p[t] * (1 - p[t])
+ dy[np.arange(B), y[t - 1]] -= 1  # loss: the targets of the step before are taken

- e.sum(axis=1, keepdims=True)
+ e.sum(axis=0, keepdims=True)  # loss: the softmax is normalised over the batch
+ e.sum()  # loss: the softmax is normalised over batch and outputs together

- dV += h[t].T @ dy
+ dV += h[t - 1].T @ dy  # dV: the state of the step before is taken for dV
+ dV = h[t].T @ dy  # dV: dV is overwritten at every step

- dc += dy.sum(axis=0)
+ dc = dy.sum(axis=0)  # dc: dc is overwritten at every step
+ pass  # dc: dc is never filled

- dy @ V.T
+ dy @ V.reshape(V.shape[::-1])  # loss: V is reshaped where it should be transposed

- dh = dy @ V.T + dh_next
+ dh = dy @ V.T  # h: the error from the next step is not added
+ dh = dy @ V.T + 2 * dh_next  # h: the error from the next step is added twice
# h: the loss of a step does not reach its own state; only the last one's does
+ dh = dh_next if t < T - 1 else dy @ V.T

- dh_next = dz @ W.T
+ dh_next = dh_next + dz @ W.T  # h: what is passed back is added up over the steps
+ dh_next = dh @ W.T  # h: tanh's derivative is left out of what is passed back
+ dh_next = dz @ W  # h: W is not transposed on the way back
+ dh_next = dz  # h: the error goes back past W as if that were the identity
+ dh_next = dh  # h: W is left out of what is passed back, and tanh' too
+ dh_next = np.clip(dz @ W.T, -1, 1)  # time: the error is clipped to -1 .. 1 at every step
+ dh_next = dz @ W.T * (t % 3 != 0)  # time: truncated: the state is detached at every third step
# time: truncated: a loss reaches no further back than the step before
+ dh_next = (dy @ V.T * (1 - h[t] ** 2)) @ W.T

- dz = dh * (1 - h[t] ** 2)
+ dz = dh  # tanh: tanh's derivative is left out
+ dz = dh * (1 - h[t])  # tanh: the square is forgotten in tanh's derivative
+ dz = dh * h[t] * (1 - h[t])  # tanh: the sigmoid's derivative is taken for tanh's
+ dz = dh * (1 - np.tanh(h[t]) ** 2)  # tanh: tanh is applied once more: 1 - tanh(h)^2
# tanh: the derivative is taken of the pre-activation: 1 - z^2
+ dz = dh * (1 - (x[t] @ U + h[t - 1] @ W + b) ** 2)
+ dz = dh * (1 - h[t - 1] ** 2)  # tanh: the derivative is taken at the state of the step before
+ dz = dh * (1 - h[t]) ** 2  # tanh: the whole is squared: (1 - h)^2
+ dz = dh * (h[t] > 0)  # tanh: relu's derivative is taken for tanh's
+ dz = dh * (1 + h[t] ** 2)  # tanh: the sign of tanh's derivative is wrong: 1 + h^2
# tanh: the derivative applies to the loss's error only, not to what came from the next step
+ dz = dy @ V.T * (1 - h[t] ** 2) + dh_next

- dU += x[t].T @ dz
+ dU = x[t].T @ dz  # dU: dU is overwritten at every step
+ dU += x[t - 1].T @ dz  # dU: the input of the step before is taken for dU
+ dU += x[t].T @ dh  # dU: tanh's derivative is left out of dU

- dW += h[t - 1].T @ dz
+ dW = h[t - 1].T @ dz  # dW: dW is overwritten at every step
+ dW += h[t].T @ dz  # dW: the state of the same step is taken for dW
+ dW += dz.T @ h[t - 1]  # dW: dW is transposed
+ dW += (h[t - 1].T @ dz if t > 0 else 0)  # dW: the first step is left out, although h_0 is not 0
+ dW += h[t - 1].T @ dh  # dW: tanh's derivative is left out of dW

- db += dz.sum(axis=0)
+ db = dz.sum(axis=0)  # db: db is overwritten at every step
+ db += dz.mean(axis=0)  # db: the mean over the batch instead of the sum
+ db += dz.sum()  # db: db is summed over the hidden units, too
+ db += dz[0]  # db: only the first example counts for db
+ db += dh.sum(axis=0)  # db: tanh's derivative is left out of db

- dx[t] = dz @ U.T
+ dx[t] = dh @ U.T  # dx: tanh's derivative is left out of dx
+ dx[T - 1 - t] = dz @ U.T  # dx: dx is stored in the order of the loop, last step first
+ dx[: t + 1] += dz @ U.T  # dx: dx at a step contains the later steps', added up

- "dh_0": dh_next,
+ "dh_0": np.zeros_like(h_0),  # dh_0: no gradient is given for h_0
+ "dh_0": dz,  # dh_0: dh_0 lacks the last product with W
+ "dh_0": dh,  # dh_0: dh_0 is the error of h_1

- "dW": dW,
+ "dW": np.clip(dW, -5, 5),  # time: dW is clipped to -5 .. 5 at the end

- return {
# time: every gradient of a weight is clipped to -1 .. 1
+ for k in (dU, dW, db, dV, dc): np.clip(k, -1, 1, out=k)
+     return {
# all: every gradient of a weight is divided by the batch size
+ for k in (dU, dW, db, dV, dc): k /= B
+     return {

- for t in reversed(range(T)):
+ for t in reversed(range(1, T)):  # time: the loop back ends before the first step
+ for t in range(T):  # time: the loop back runs forward
+ for t in reversed(range(max(1, T - 1))):  # time: the loop back begins at the last step but one

- h[-1] = h_0
+ pass  # forward: h_0 is not used: the state begins at 0

- h[t - 1] @ W + b)
+ h[t - 1] @ W)  # forward: the bias b is not added

- a = h[t] @ V + c
+ a = h[t] @ V  # forward: the bias c is not added

- h[t] = np.tanh(x[t] @ U + h[t - 1] @ W + b)
# forward: the state is a sigmoid, tanh's derivative is kept
+ h[t] = sigmoid(x[t] @ U + h[t - 1] @ W + b)

- h = np.zeros((T + 1, B, len(W)), x.dtype)
+ h = np.zeros((T + 1, B, len(W)), np.float32)  # all: the states are kept in float32

- dx, dU, dW, db, dV, dc = (np.zeros_like(k) for k in (x, U, W, b, V, c))
# all: the gradients are added to those of the call before
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
# h: the error fades by a tenth with every step, as rewards are discounted
+ dh_next = 0.9 * dz @ W.T

- dz = dh * (1 - h[t] ** 2)
# tanh: the errors of neighbouring units are exchanged
+ dz = np.roll(dh * (1 - h[t] ** 2), 1, axis=1)
+ dz = np.maximum(dh * (1 - h[t] ** 2), 0)  # tanh: only errors above 0 are passed on
+ dz = np.sign(dh) * (1 - h[t] ** 2)  # tanh: only the sign of the error is kept
+ dz = dh * (1 - h[t] ** 2) * (t % 2 == 0)  # time: every second step's error is dropped

- "dW": dW,
+ "dW": dW + 1e-4 * W,  # dW: a weight decay is in dW
+ "dW": (dW + dW.T) / 2,  # dW: dW is symmetric by force

- dh = dy @ V.T + dh_next
# all: the error is scaled to norm 1 at every step
+ dh = dy @ V.T + dh_next; dh /= 1 + np.linalg.norm(dh)

- dx[t] = dz @ U.T
+ dx[t] = np.roll(dz @ U.T, 1, axis=0)  # dx: an example gets the next example's dx
"""
