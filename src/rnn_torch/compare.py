"""Compares hand-written gradients with autograd's for *any* torch model: an LSTM, a GRU, one's own.

There is no rounding bound for a model that nobody has analysed. Its noise floor is measured
instead: how much the gradient moves when the parameters move by a few units in the last place, in
random directions. By the Hessian of the very loss (Pearlmutter's product), that takes no second
run.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rnn_numpy.rounding import fraction
from rnn_torch.examine import Report
from rnn_torch.parity import Entry, constant_factor

_DIRECTIONS = 8


def compare_gradients(
    hand_written: Mapping[str, np.ndarray],
    loss: torch.Tensor,
    parameters: Mapping[str, torch.Tensor],
    *,
    ulps: int = 16,
) -> Report:
    """Compare hand-written gradients of a loss with autograd's.

    Args:
        hand_written: a gradient for each name, shaped like its parameter.
        loss: the scalar that is differentiated, its graph still there; it must be computed by
            operations that torch can differentiate twice.
        parameters: the tensors it depends on, by the same names.
        ulps: the size of the perturbations behind the noise floor, in units in the last place.

    Returns:
        A report with the worst entry of each gradient; `rnn_torch.screen.as_text` prints it.

    Raises:
        ValueError: names or shapes that do not fit, a loss that is no scalar or does not depend on
            a parameter, an operation without a second derivative, a NaN or infinity.
    """
    _check(hand_written, loss, parameters)
    names, tensors = list(parameters), list(parameters.values())
    try:
        gradients = torch.autograd.grad(loss, tensors, create_graph=True)
        floors = _noise_floors(gradients, tensors, ulps)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"loss must depend on every parameter, twice differentiably: {reason}"
        ) from error

    worst, factors = [], []
    for name, gradient, floor in zip(names, gradients, floors, strict=True):
        expected, got = gradient.numpy(force=True), np.asarray(hand_written[name])
        bound = floor / 2  # as of one evaluation of two
        distance = fraction(got, expected, bound)
        at = np.unravel_index(int(np.argmax(distance)), distance.shape)
        off_by = abs(float(got[at]) - float(expected[at]))
        worst.append(
            Entry(
                f"d{name}",
                tuple(int(i) for i in at),
                "this loss",
                float(got[at]),
                float(expected[at]),
                float(bound[at]),
                float(distance[at]),
                off_by / float(np.spacing(np.abs(expected[at]))),
            )
        )
        factor = constant_factor(got, expected, bound)
        if factor is not None and distance.max() > 1:
            factors.append(f"d{name} is exactly {factor:.3f} times the gradient")
    used = max(entry.fraction for entry in worst)
    return Report(
        "agrees" if used <= 1 else "disagrees",
        dtype=str(tensors[0].dtype).removeprefix("torch."),
        window=None,
        problems=1,
        used=used,
        worst=tuple(worst),
        factors=tuple(factors),
    )


def _noise_floors(
    gradients: tuple[torch.Tensor, ...], tensors: list[torch.Tensor], ulps: int
) -> list[Any]:
    """For each gradient, by how much it may move; never less than the rounding of its own size."""
    generator = np.random.default_rng(0)
    moved = [np.zeros(tuple(t.shape)) for t in tensors]
    for _ in range(_DIRECTIONS):
        steps = [
            torch.as_tensor(
                np.spacing(np.abs(t.numpy(force=True)))
                * generator.choice([-1.0, 1.0], tuple(t.shape)),
                dtype=t.dtype,
                device=t.device,
            )
            for t in tensors
        ]
        products = torch.autograd.grad(
            gradients, tensors, grad_outputs=steps, retain_graph=True, materialize_grads=True
        )
        for largest, product in zip(moved, products, strict=True):
            np.maximum(largest, np.abs(product.numpy(force=True)), out=largest)
    floors = []
    for largest, gradient in zip(moved, gradients, strict=True):
        own = np.spacing(np.abs(gradient.numpy(force=True))).astype(np.float64)
        # An entry that happens to move little is still a sum of terms like the others'.
        floors.append(ulps * np.maximum(np.maximum(largest, largest.mean()), own))
    return floors


def _check(
    hand_written: Mapping[str, Any], loss: torch.Tensor, parameters: Mapping[str, torch.Tensor]
) -> None:
    if set(hand_written) != set(parameters) or not parameters:
        raise ValueError(
            f"hand_written must have the parameters' names {sorted(parameters)}, "
            f"got {sorted(hand_written)}"
        )
    if loss.numel() != 1 or not loss.requires_grad:
        raise ValueError(f"loss must be a scalar with a graph, got shape {tuple(loss.shape)}")
    for name, tensor in parameters.items():
        array = np.asarray(hand_written[name])
        if array.shape != tuple(tensor.shape):
            raise ValueError(
                f"d{name} must have {name}'s shape {tuple(tensor.shape)}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"d{name} must be finite")
