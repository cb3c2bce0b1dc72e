"""Call the RNN of MarkusHohle/LSTM-from-Scratch."""

from benchmarks.trust.public.form import published

_RNN = published("RNN")
_Tanh = published("Tanh")


def markushohle(X_t, Wx, Wh, Wy, biases, dvalues):
    model = _RNN(len(Wh), _Tanh())
    model.Wx, model.Wh, model.Wy, model.biases = Wx, Wh, Wy, biases
    model.forward(X_t)
    model.backward(dvalues)
    return {"Wx": model.dWx, "Wh": model.dWh, "Wy": model.dWy, "biases": model.dbiases}
