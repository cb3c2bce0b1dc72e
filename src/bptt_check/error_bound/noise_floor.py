"""Measure how much noise changes the gradient: the fallback if an operation has no rounding rule.

Every result, of the forward pass and of autograd's reverse pass, is changed by a random 2^-26 of
itself (Monte Carlo arithmetic: D. S. Parker 1997). The effect on the gradient is scaled down to
the size of rounding errors and multiplied by a margin. Reports state that it is measured.
"""

from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bptt_check.error_bound.truncated import TRUNCATED, truncation
from bptt_check.networks.network import Evaluation, Network, is_half, precision
from bptt_check.networks.problems import Problem

_STEP = 2.0**-26
_RUNS = 6


def margin(dtype: str) -> int:
    """The factor of the measured noise; in half precision smaller: 64 would be as large as most."""
    return 8 if is_half(dtype) else 64


def noise_floor(network: Network, problem: Problem) -> tuple[Evaluation, Evaluation, str]:
    """Losses and gradients in float64, and how much rounding in the problem's dtype changes them.

    The floor is infinite where noise leads to NaN or infinity: nothing can be decided there. The
    text names the operations that are approximate in torch, which add their error to the floor.

    Raises:
        ValueError: as `Network.evaluate`.
    """
    right = network.evaluate(problem.values, "float64")
    unit = precision(problem.dtype).eps / 2
    noisy = [_moved(network, problem, right, _Noise(seed)) for seed in range(_RUNS)]
    exact = [Exact(unit, sign) for sign in (1, -1)]
    without = [_moved(network, problem, right, mode) for mode in exact]

    def floor(value: np.ndarray, runs: Any, exact_runs: Any) -> np.ndarray:
        largest = np.max(list(runs), axis=0)
        # An entry that changes little by chance has terms of the same size as the others.
        typical = np.maximum(largest, largest.mean()) / _STEP if largest.size else largest
        scaled = margin(problem.dtype) * unit * np.maximum(typical, abs(value))
        found = scaled + 2 * np.max(list(exact_runs), 0)
        return np.where(np.isfinite(found), found, np.inf)

    floors = {
        n: floor(g, (m.gradients[n] for m in noisy), (m.gradients[n] for m in without))
        for n, g in right.gradients.items()
    }
    losses = floor(right.losses, (m.losses for m in noisy), (m.losses for m in without))
    return right, Evaluation(losses, floors), "; ".join(sorted(exact[0].approximate))


def _moved(network: Network, problem: Problem, right: Evaluation, mode: Any) -> Evaluation:
    """How much losses and gradients change under a mode."""
    with mode, np.errstate(all="ignore"):
        other = network.evaluate(problem.values, "float64")
        gradients = {n: abs(g - right.gradients[n]) for n, g in other.gradients.items()}
        return Evaluation(abs(other.losses - right.losses), gradients)


class Mode(TorchDispatchMode):
    """A dispatch mode in which nothing is compiled, so that torch's compiler is not imported."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Noise(Mode):
    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name
        if not isinstance(out, torch.Tensor) or not (out.is_floating_point() or out.is_complex()):
            return out
        if func.is_view or name.endswith("_") or "detach" in name:
            return out
        signs = torch.randint(0, 2, out.shape, generator=self.generator) * 2 - 1
        if out.is_complex():  # either part is off by a share of the product of magnitudes
            others = torch.randint(0, 2, out.shape, generator=self.generator) * 2 - 1
            signs = signs + 1j * others
        return out * (1 + _STEP * signs.to(out.dtype))


class Exact(Mode):
    """Changes each result by what its operation is off in torch, beyond rounding."""

    def __init__(self, unit: float, sign: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.unit, self.sign = unit, sign
        #: The operations that are further off than by this unit roundoff, in words.
        self.approximate: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._schema.name not in TRUNCATED:
            return out
        error, words = truncation(func._schema.name, args)
        if (error > self.unit * abs(out.numpy(force=True))).any():
            self.approximate.add(words)
        return out + self.sign * torch.from_numpy(error).to(out)
