"""Call the LSTM of jiexunsee/Numpy-LSTM, whose forward pass is one step."""

from benchmarks.trust.public.form import published

_LSTM = published("LSTM")


def jiexunsee(x, y, U_i, U_f, U_o, U_g, W_i, W_f, W_o, W_g, hidden_to_out):
    model = _LSTM(len(U_i), len(W_i), y.shape[1])
    vars(model).update(U_i=U_i, U_f=U_f, U_o=U_o, U_g=U_g, hidden_to_out=hidden_to_out)
    vars(model).update(W_i=W_i, W_f=W_f, W_o=W_o, W_g=W_g)
    for row in x:
        model.forward(row)
    model.backward(x, y, len(x), 1.0)
