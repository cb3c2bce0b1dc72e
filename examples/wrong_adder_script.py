"""Wrong: a script without a function, as the classic one that learns to add; W is not transposed.

python -m rnn_torch.check examples/wrong_adder_script.py --loop "for step in range"
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


bits, hidden, alpha = 8, 16, 0.1
binary = np.unpackbits(np.arange(2**bits, dtype=np.uint8)[:, np.newaxis], axis=1)

np.random.seed(0)
U = 2 * np.random.random((2, hidden)) - 1
W = 2 * np.random.random((hidden, hidden)) - 1
V = 2 * np.random.random((hidden, 1)) - 1
dU, dW, dV = np.zeros_like(U), np.zeros_like(W), np.zeros_like(V)

for step in range(20000):
    # Two numbers and their sum, the most significant bit first.
    a_int, b_int = np.random.randint(2 ** (bits - 1), size=2)
    a = binary[a_int]
    b = binary[b_int]
    c = binary[a_int + b_int]

    states, deltas, error = [np.zeros(hidden)], [], 0
    for place in reversed(range(bits)):
        x = np.array([[a[place], b[place]]])
        states.append(sigmoid(x @ U + states[-1] @ W))
        output = sigmoid(states[-1] @ V)
        deltas.append((c[place] - output) * output * (1 - output))
        error += abs(c[place] - output[0, 0])

    later = np.zeros(hidden)
    for place in range(bits):
        x = np.array([[a[place], b[place]]])
        h, before = states[-place - 1], states[-place - 2]
        delta = (later @ W + deltas[-place - 1] @ V.T) * h * (1 - h)
        dV += np.atleast_2d(h).T @ deltas[-place - 1]
        dW += np.atleast_2d(before).T @ delta
        dU += x.T @ delta
        later = delta

    U += dU * alpha
    W += dW * alpha
    V += dV * alpha
    dU *= 0
    dW *= 0
    dV *= 0
    if step % 1000 == 0:
        print(f"step {step}: {a_int} + {b_int}, error {error:.3f}")
