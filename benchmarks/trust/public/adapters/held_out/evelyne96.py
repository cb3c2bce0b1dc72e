"""Call the LSTM of evelyne96/LSTM."""

from benchmarks.trust.public.form import published

_LSTM = published("LSTM")


def evelyne96(x, y, w_fh, w_fx, b_f, w_ih, w_ix, b_i, w_ch, w_cx, b_c, w_oh, w_ox, b_o, w_v, b_v):
    model = _LSTM(len(b_f), len(b_v))
    vars(model).update(w_fh=w_fh, w_fx=w_fx, b_f=b_f, w_ih=w_ih, w_ix=w_ix, b_i=b_i, w_v=w_v)
    vars(model).update(w_ch=w_ch, w_cx=w_cx, b_c=b_c, w_oh=w_oh, w_ox=w_ox, b_o=b_o, b_v=b_v)
    model.bptt(x, y)
    weights = {f"w_{gate}{of}": f"W{gate}{of}" for gate in "fico" for of in "hx"} | {"w_v": "Wv"}
    weights |= {f"b_{gate}": f"B{gate}" for gate in "ficov"}
    return {name: getattr(model, f"dLd{its}") for name, its in weights.items()}
