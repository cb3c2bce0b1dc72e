"""Call the LSTM of nicodjimenez/lstm; the gradient of its output is the target."""

from benchmarks.trust.public.form import published

_Network = published("LstmNetwork")
_Param = published("LstmParam")


class _Loss:
    def loss(self, h, y):
        return 0

    def bottom_diff(self, h, y):
        return y.copy()


def nicodjimenez(x, wg, wi, wf, wo, bg, bi, bf, bo, y):
    weights = {"wg": wg, "wi": wi, "wf": wf, "wo": wo, "bg": bg, "bi": bi, "bf": bf, "bo": bo}
    param = _Param(len(bg), x.shape[1])
    vars(param).update(weights)
    network = _Network(param)
    for row in x:
        network.x_list_add(row)
    network.y_list_is(y, _Loss())
    return {name: getattr(param, f"{name}_diff") for name in weights}
