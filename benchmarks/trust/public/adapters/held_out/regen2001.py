"""Call the model of Regen2001/NumPy-RNN-LSTM."""

from benchmarks.trust.public.form import published

_get_model = published("get_model")


def regen2001(x, y, W_ax, W_aa, W_ya, b_a, b_y):
    model = _get_model(hidden_node=len(b_a))
    model.weight = {"W_ax": W_ax, "W_aa": W_aa, "W_ya": W_ya, "b_a": b_a, "b_y": b_y}
    model.forward(x)
    model.back_prop(y)
    return model.grad
