"""Loss functions of the stock networks: the loss of a step, as a function of h_t."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bptt_check.networks.axes import Argument, targets, tokens, upstream


class Loss(NamedTuple):
    """The further arguments of a loss, and the loss of a step as a function of h_t and these."""

    axes: dict[str, str | Argument]
    at_step: Callable[..., Tensor]


def _squared(h_t: Tensor, y_t: Tensor, V: Tensor, c: Tensor) -> Tensor:
    return 0.5 * ((h_t @ V + c - y_t) ** 2).sum()


def _softmax(h_t: Tensor, y_t: Tensor, V: Tensor, c: Tensor) -> Tensor:
    return cross_entropy(h_t @ V + c, y_t, reduction="sum")


def _upstream(h_t: Tensor, y_t: Tensor) -> Tensor:
    return (h_t * y_t).sum()


_OUTPUT: dict[str, Any] = {"V": "hidden n_out", "c": "n_out"}
LOSSES = {
    "squared": Loss({"y": targets("time batch n_out"), **_OUTPUT}, _squared),
    "softmax": Loss({"y": tokens("time batch", below="n_out"), **_OUTPUT}, _softmax),
    "upstream": Loss({"y": upstream("time batch hidden")}, _upstream),
}


def loss_named(name: str) -> Loss:
    """The loss `squared`, `softmax` (both of h_t V + c) or `upstream` (given dE/dh_t).

    Raises:
        ValueError: there is no such loss.
    """
    if name not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {name!r}")
    return LOSSES[name]


def steps(*arguments: Tensor) -> Any:
    """Iterate over the steps: a tuple of the arguments' slices for each."""
    return zip(*(torch.unbind(a) for a in arguments), strict=True)
