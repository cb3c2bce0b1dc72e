"""The gradient of (4) by autograd, full or truncated: the reference for hand-written gradients."""

import numpy as np
import torch
from jaxtyping import Float

from rnn_numpy.elman_network.params import Params
from rnn_torch.elman_network.model import ElmanRNN, squared_error


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


def truncated_gradient(
    model: ElmanRNN,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
    window: int,
) -> Params:
    """Like `autograd_gradient`, with the error of each loss passed back `window` steps at most.

    Each loss is computed with the state before its window detached, as is usual in torch; the
    windows of all losses are computed together, as examples of one batch.
    """
    U, W, V = model.U, model.W, model.V
    with torch.no_grad():
        _, states = model(torch.as_tensor(x))
    steps = np.arange(len(x))
    h = torch.cat([torch.zeros_like(states[:1]), states])[np.maximum(steps - window, 0)]
    for back in reversed(range(window + 1)):
        begun = torch.as_tensor(steps >= back)[:, None, None]
        x_t = torch.as_tensor(x[np.maximum(steps - back, 0)])
        h = torch.where(begun, torch.sigmoid(x_t @ U + h @ W), h)
    loss = squared_error(torch.sigmoid(h @ V), torch.as_tensor(targets))
    return Params(*(g.numpy() for g in torch.autograd.grad(loss, [U, W, V])))
