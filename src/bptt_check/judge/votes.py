"""Check autograd by methods that share no code with it: forward mode, Taylor's theorem, oracles."""

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from bptt_check.judge.asking import Array, Asked, Expected, Gradients, Vote
from bptt_check.judge.comparison import agrees
from bptt_check.networks import Network, Problem

_DIRECTIONS = 3

#: A backward pass, of the network's inputs in order, that returns all gradients in the same order.
Oracle = Callable[..., Sequence[Array]]
Loss = Callable[[dict[str, Tensor]], Tensor]


def votes(network: Network, asked: Asked, oracles: Mapping[str, Oracle]) -> list[Vote]:
    """The votes on an answer: of the oracles, or of forward mode; and of Taylor's theorem.

    Forward mode and Taylor's theorem judge along random directions of each argument. A method that
    does not apply (an operation has no forward derivative) has no vote.
    """
    problem, yours, right = asked.problem, asked.answer.gradients, asked.right
    loss = _loss(network, problem)
    # Every argument of floating-point numbers, in float64. In forward mode all have a tangent:
    # subtracting one without would import torch's compiler, 2 s.
    tensors = network.tensors(problem.values, "float64").items()
    weights = {n: t.detach() for n, t in tensors if t.is_floating_point()}
    methods: dict[str, Callable[[Gradients], bool]] = {}
    for method, oracle in oracles.items():
        values = [problem.values[n].copy() for n in network.arguments]
        found = dict(zip(network.differentiated, oracle(*values), strict=True))
        methods[method] = lambda g, found=found: agrees(  # type: ignore[misc]
            {n: g[n] for n in found if n in g}, Expected(found, right.bounds)
        )
    if not oracles:  # which see more, sooner: forward mode may import torch's compiler, 2 s
        methods["forward mode"] = lambda g: _forward_mode(loss, weights, g, right.bounds)
    methods["Taylor order"] = lambda g: _taylor_order(loss, weights, g) > 1.5
    cast = []
    for method, agreed in methods.items():
        try:
            both = [agreed(g) for g in ({n: right.gradients[n] for n in yours}, yours)]
        except (RuntimeError, NotImplementedError, ValueError):
            continue
        cast.append(Vote(method, *both))
    return cast


def _loss(network: Network, problem: Problem) -> Loss:
    """The sum of the losses, as a function of the differentiated arguments, in float64."""
    fixed = {n: t.detach() for n, t in network.tensors(problem.values, "float64").items()}

    def loss(weights: dict[str, Tensor]) -> Tensor:
        # Stacked: adding to a constant in forward mode would import torch's compiler, 2 s.
        return torch.stack(list(network.losses({**fixed, **weights}))).sum()

    return loss


def _forward_mode(
    loss: Loss, weights: dict[str, Tensor], gradients: Gradients, bounds: Gradients
) -> bool:
    """Whether <gradient, v> is the derivative along v, to within rounding, for a few v."""
    rng = np.random.default_rng(0)
    for name, gradient in gradients.items():
        for _ in range(_DIRECTIONS):
            v = rng.choice([-1.0, 1.0], gradient.shape)
            tangents = {n: torch.zeros_like(w) for n, w in weights.items()}
            tangents[name] = torch.from_numpy(v)
            with warnings.catch_warnings():
                # torch's forward mode uses torch.jit.script, whose warning's category has changed.
                warnings.filterwarnings("ignore", ".*torch.jit.script")
                slope = jvp(loss, (weights,), (tangents,))[1]
            rounding = np.abs(gradient).sum() * gradient.size * np.finfo(float).eps
            bound = 2 * bounds[name].sum() + rounding
            if not abs(float(slope) - float((gradient * v).sum())) <= bound:
                return False
    return True


def _taylor_order(loss: Loss, weights: dict[str, Tensor], gradients: Gradients) -> float:
    """The order in s of E(w + s v) - E(w) - s <gradient, v>: 2 for the gradient, else 1."""
    rng = np.random.default_rng(0)
    v = {n: torch.from_numpy(rng.standard_normal(g.shape)) for n, g in gradients.items()}
    slope = sum(float((torch.from_numpy(np.array(gradients[n], float)) * v[n]).sum()) for n in v)

    def remainder(step: float) -> float:
        moved = {n: w + step * v[n] if n in v else w for n, w in weights.items()}
        with torch.no_grad():
            return abs(float(loss(moved)) - at_start - step * slope)

    with torch.no_grad():
        at_start = float(loss(weights))
    remainders = np.array([remainder(2.0**-k) for k in range(9, 15)])
    if remainders.min() == 0:
        return 2.0
    return float(np.median(np.log2(remainders[:-1] / remainders[1:])))
