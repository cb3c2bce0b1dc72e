"""Measure how much noise changes the gradient: the fallback if an operation has no rounding rule.

Every result, of the forward pass and of autograd's reverse pass, is changed by a random 2^-26 of
itself (Monte Carlo arithmetic: D. S. Parker 1997). The effect on the gradient is scaled down to
the size of rounding errors and multiplied by a margin. Reports state that it is measured.
"""

from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_torch.networks.network import Evaluation, Network
from rnn_torch.networks.problems import Problem

_STEP = 2.0**-26
_MARGIN = 64
_RUNS = 6


def noise_floor(network: Network, problem: Problem) -> tuple[Evaluation, Evaluation]:
    """Losses and gradients in float64, and how much rounding in the problem's dtype changes them.

    Raises:
        ValueError: as `Network.evaluate`.
    """
    right = network.evaluate(problem.values, "float64")
    moved = Evaluation(0 * right.losses, {n: 0 * g for n, g in right.gradients.items()})
    unit = torch.finfo(getattr(torch, problem.dtype)).eps / 2
    for seed in range(_RUNS):
        with _Noise(seed):
            noisy = network.evaluate(problem.values, "float64")
        np.maximum(moved.losses, abs(noisy.losses - right.losses), out=moved.losses)
        for name, gradient in noisy.gradients.items():
            largest = moved.gradients[name]
            np.maximum(largest, abs(gradient - right.gradients[name]), out=largest)

    def floor(largest: np.ndarray, value: np.ndarray) -> np.ndarray:
        # An entry that changes little by chance has terms of the same size as the others.
        typical = np.maximum(largest, largest.mean()) / _STEP if largest.size else largest
        return _MARGIN * unit * np.maximum(typical, abs(value))

    floors = {n: floor(moved.gradients[n], g) for n, g in right.gradients.items()}
    return right, Evaluation(floor(moved.losses, right.losses), floors)


class _Noise(TorchDispatchMode):
    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generator = torch.Generator().manual_seed(seed)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here: do not import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name
        if not isinstance(out, torch.Tensor) or not out.is_floating_point():
            return out
        if func.is_view or name.endswith("_") or "detach" in name:
            return out
        signs = torch.randint(0, 2, out.shape, generator=self.generator) * 2 - 1
        return out * (1 + _STEP * signs.to(out.dtype))
