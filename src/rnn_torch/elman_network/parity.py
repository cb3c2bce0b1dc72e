"""How far a hand-written gradient is from autograd's, as a fraction of what rounding allows."""

import numpy as np
from jaxtyping import Float

from bptt_check.commands.numbers import fraction
from rnn_numpy.elman_network.model import bptt, forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.rounding import bounds
from rnn_torch.elman_network.model import ElmanRNN, autograd_gradient


def gradient_parity(
    model: ElmanRNN,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    hand_written: Params | None = None,
) -> float | None:
    """The largest difference from autograd's gradient as a fraction of what rounding allows.

    Above 1, one of the two is wrong. None if nothing can be decided: every entry is smaller than
    its rounding error, or the forward pass overflows. `hand_written` is by default that of `bptt`.
    """
    params = model.to_params()
    outputs, trace = forward(params, x)
    if not np.isfinite(outputs).all():
        return None
    if hand_written is None:
        hand_written = bptt(params, trace, targets)
    plain = ElmanRNN.from_params(params, device=model.W.device)
    right, allowed = autograd_gradient(plain, x, targets), bounds(params, x, targets).params
    worst = max(float(f.max()) for f in map(fraction, hand_written, right, allowed))
    blind = all((np.abs(e) <= bound).all() for e, bound in zip(right, allowed, strict=True))
    return None if blind and worst <= 1 else worst
