"""Compares the hand-written gradient with autograd's; the bound of `rnn_numpy.rounding` decides."""

import numpy as np
import torch
from jaxtyping import Float

from rnn_numpy.model import bptt, forward
from rnn_numpy.params import Params
from rnn_numpy.rounding import bounds, fraction
from rnn_torch.model import ElmanRNN, squared_error


def autograd_gradient(
    model: ElmanRNN,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    h_0: Float[np.ndarray, "batch hidden"] | None = None,
) -> Params:
    """The gradient of the squared error (4) by autograd, on the model's device, as NumPy arrays."""
    device = model.W.device
    state = None if h_0 is None else torch.as_tensor(h_0, device=device)
    outputs, _ = model(torch.as_tensor(x, device=device), state)
    loss = squared_error(outputs, torch.as_tensor(targets, device=device))
    gradients = torch.autograd.grad(loss, [model.U, model.W, model.V])
    return Params(*(gradient.numpy(force=True) for gradient in gradients))


def gradient_parity(
    model: ElmanRNN,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
) -> float | None:
    """How far the hand-written gradient is from autograd's, at this model and problem.

    Returns:
        The worst entry's distance as a fraction of what rounding allows; above 1 one is wrong.
        None if nothing can tell right from wrong: every entry is smaller than its rounding error,
        or the forward pass itself overflows.
    """
    params = model.to_params()
    outputs, trace = forward(params, x)
    if not np.isfinite(outputs).all():
        return None
    hand_written = bptt(params, trace, targets)
    allowed = bounds(params, x, targets).params
    by_autograd = autograd_gradient(model, x, targets)
    triples = list(zip(hand_written, by_autograd, allowed, strict=True))
    worst = max(float(fraction(*triple).max()) for triple in triples)
    blind = all((np.abs(expected) <= bound).all() for _, expected, bound in triples)
    return None if blind and worst <= 1 else worst
