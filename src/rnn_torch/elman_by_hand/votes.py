"""Check the oracle: compute the same gradient by methods that share no code with reverse mode."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, jacfwd

from rnn_numpy.elman_network.complex_step import complex_step
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.rtrl import rtrl
from bptt_check.judge.comparison import agrees
from bptt_check.judge.subject import Gradients, Vote
from rnn_torch.elman_by_hand.parity import Reference
from rnn_torch.elman_by_hand.problems import Problem
from rnn_torch.elman_network.model import ElmanRNN


def votes(problem: Problem, yours: Gradients, right: Reference) -> list[Vote]:
    """The votes of complex step, real-time recurrent learning, forward mode, Taylor's theorem."""
    params, x, targets, _ = problem
    methods: dict[str, Callable[[], Params]] = {
        "complex step": lambda: complex_step(params, x, targets),
        "RTRL": lambda: rtrl(params, x, targets),
        "forward mode": lambda: forward_mode(problem),
    }
    found = []
    for method, gradient in methods.items():
        judge = Reference(gradient()._asdict(), right.bounds)
        found.append(Vote(method, agrees(right.gradients, judge), agrees(yours, judge)))
    orders = [taylor_order(problem, Params(**g)) for g in (right.gradients, yours)]
    found.append(Vote("Taylor order", *(order > 1.5 for order in orders)))
    return found


def forward_mode(problem: Problem) -> Params:
    """The gradient of (4): o - y times the outputs' Jacobian, by forward mode for each weight."""
    params, x, targets, _ = problem
    model = ElmanRNN.from_params(params)

    def outputs(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(model, weights, (torch.as_tensor(x),))[0]

    weights = {name: p.detach() for name, p in model.named_parameters()}
    with warnings.catch_warnings():
        # torch's forward mode uses torch.jit.script, whose warning's category has changed.
        warnings.filterwarnings("ignore", ".*torch.jit.script")
        # Not of the loss: adding constants would import torch's compiler, 2 s.
        jacobians = jacfwd(outputs)(weights)
    error = outputs(weights) - torch.as_tensor(targets)
    gradient = {name: torch.tensordot(error, j, error.ndim) for name, j in jacobians.items()}
    return Params(*(gradient[name].numpy() for name in Params._fields))


def taylor_order(problem: Problem, gradient: Params) -> float:
    """The order in s of E(w + s v) - E(w) - s <gradient, v>: 2 for the gradient, else 1.

    Computed in NumPy's widest floating-point type; the steps are so large that the rounding errors
    of a right gradient have no effect.
    """
    wide: Any = np.longdouble
    rng = np.random.default_rng(0)
    weights = [p.astype(wide) for p in problem.params]
    direction = [rng.standard_normal(p.shape).astype(wide) for p in weights]
    slope = sum((g.astype(wide) * v).sum() for g, v in zip(gradient, direction, strict=True))

    def remainder(step: float) -> Any:
        moved = [w + wide(step) * v for w, v in zip(weights, direction, strict=True)]
        return abs(_loss(moved, problem) - _loss(weights, problem) - wide(step) * slope)

    largest = round(-np.log2(np.finfo(problem.dtype).eps) / 4)
    steps = [2.0**-k for k in range(largest, largest + 6)]
    remainders = [float(remainder(step)) for step in steps]
    if min(remainders) == 0:
        return 2.0
    return float(np.median(np.log2(np.array(remainders[:-1]) / np.array(remainders[1:]))))


def _loss(weights: list[Any], problem: Problem) -> Any:
    """(1)-(4), in the dtype of the weights."""
    U, W, V = weights
    h = np.zeros((problem.sizes.batch, len(W)), W.dtype)
    loss = W.dtype.type(0)
    for x_t, y_t in zip(problem.x, problem.targets, strict=True):
        h = 1 / (1 + np.exp(-(x_t @ U + h @ W)))
        loss += ((1 / (1 + np.exp(-(h @ V))) - y_t) ** 2).sum() / 2
    return loss
