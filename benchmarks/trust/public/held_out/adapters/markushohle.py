"""Call the RNN of MarkusHohle/LSTM-from-Scratch."""

import os

from bptt_check.candidate.loading import load_function

_RNN = load_function(os.environ["PUBLISHED"], "RNN", definitions_only=True)
_Tanh = load_function(os.environ["PUBLISHED"], "Tanh", definitions_only=True)


def rnn(X_t, Wx, Wh, Wy, biases, dvalues):
    model = _RNN(len(Wh), _Tanh())
    model.Wx, model.Wh, model.Wy, model.biases = Wx, Wh, Wy, biases
    model.forward(X_t)
    model.backward(dvalues)
    return {"Wx": model.dWx, "Wh": model.dWh, "Wy": model.dWy, "biases": model.dbiases}
