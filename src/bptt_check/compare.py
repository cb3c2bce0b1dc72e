"""Compare hand-written gradients with autograd's for *any* torch model: LSTM, GRU or your own.

A rounding bound exists only for a declared network. Here a noise floor is measured, in random
directions: how much the gradient changes if the parameters change by units in the last place (by
the loss's Hessian: Pearlmutter's product), and if every gradient of the backward pass does (Monte
Carlo arithmetic: D. S. Parker 1997, and the earlier CESTAC).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from bptt_check.error_bound.noise_floor import Exact
from bptt_check.judge.asking import Answer, Array, Asked
from bptt_check.judge.comparison import (
    UNTOLD,
    agrees,
    closeness,
    constant_factors,
    told,
    undecidable,
    worst_entries,
)
from bptt_check.judge.report import Verdict
from bptt_check.reports.readable import ReadableReport

_DIRECTIONS = 8
_ULPS = 64  # size of the perturbations, in units in the last place


def compare_gradients(
    hand_written: Mapping[str, np.ndarray],
    loss: torch.Tensor,
    parameters: Mapping[str, torch.Tensor],
) -> ReadableReport:
    """Compare hand-written gradients of a loss with autograd's.

    Args:
        hand_written: a gradient for each name, of its parameter's shape.
        loss: the scalar to differentiate, with its graph; all operations must be twice
            differentiable in torch.
        parameters: the tensors that the loss depends on, by the same names.

    Returns:
        The judge's report: `print` shows the screen, a notebook the page of --html.

    Raises:
        ValueError: names or shapes do not match, the loss is not a scalar or does not depend on a
            parameter, an operation has no second derivative, a gradient is NaN or infinite.
    """
    _check(hand_written, loss, parameters)
    names, tensors = list(parameters), list(parameters.values())
    try:
        gradients = torch.autograd.grad(loss, tensors, create_graph=True)
        floors = _noise_floors(loss, gradients, tensors)
        with Exact(torch.finfo(loss.dtype).eps) as exact:
            without = torch.autograd.grad(loss, tensors, retain_graph=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"loss must be a twice differentiable function of every parameter: {reason}"
        ) from error

    # Halved: of one evaluation. The comparison doubles it.
    right = {n: g.numpy(force=True) for n, g in zip(names, gradients, strict=True)}
    bounds = {n: floor / 2 for n, floor in zip(names, floors, strict=True)}
    for n, other in zip(names, without, strict=True):  # the margin also covers the forward pass
        bounds[n] = bounds[n] + _ULPS * np.abs(other.numpy(force=True) - right[n])
    given = _Given("this loss", str(tensors[0].dtype).removeprefix("torch."), right, bounds)
    answer = {n: np.asarray(hand_written[n], dtype=float) for n in names}
    return _report(Asked(given, Answer(answer, answer), given), sorted(exact.approximate))


class _Given(NamedTuple):
    """The only problem, with its right gradients and their noise floors."""

    name: str
    dtype: str
    gradients: Mapping[str, Array]
    bounds: Mapping[str, Array]


def _report(asked: Asked, approximate: Sequence[str]) -> ReadableReport:
    """The report of one loss, which has no steps, no catalogue and no other problems."""
    given, gradients = asked.problem, asked.answer.gradients
    worst = tuple(worst_entries(gradients, given, given.name, given.dtype))
    tells = told(given, gradients)
    untold = () if tells else ((given.name, UNTOLD),)
    lost = [f"d{n}" for n in gradients if n not in tells]
    factors: tuple[str, ...] = ()
    verdict: Verdict = "cannot tell" if lost else "agrees"
    close = None
    if is_wrong := not agrees(gradients, given):
        factors = tuple(constant_factors([asked], [{}]))
        close = None if factors else closeness([asked])
        verdict = "approximate" if close else "disagrees"
    return ReadableReport(
        verdict,
        given.dtype,
        None,
        problems=1,
        telling=1 - len(untold),
        used=max(entry.fraction for entry in worst),
        worst=worst,
        by_problem={given.name: {entry.name: entry.fraction for entry in worst}},
        undecided=(undecidable(lost),) if lost and not is_wrong else (),
        untold=untold,
        measured="a measured noise floor, not a bound: the loss is of no declared network",
        approximate="; ".join(approximate),
        factors=factors,
        close=close,
        mistakes=None if is_wrong else (),
        not_named="mistakes are derived from a declared network" if is_wrong else "",
        not_located="one loss alone has no steps; declare its network (bptt_check.networks)"
        if is_wrong
        else "",
    )


def _noise_floors(
    loss: torch.Tensor, gradients: tuple[torch.Tensor, ...], tensors: list[torch.Tensor]
) -> list[Any]:
    """How much each gradient may change; at least its own unit in the last place.

    Every parameter changes by one unit, and so does every gradient between loss and parameters,
    entry by entry. Since the backward pass is linear in these, they are changed by more, so that
    the difference is well above rounding, and the result is scaled down.
    """
    generator, step = torch.Generator().manual_seed(0), torch.finfo(loss.dtype).eps ** 0.5

    def signs(of: torch.Tensor) -> torch.Tensor:
        return (torch.randint(0, 2, of.shape, generator=generator) * 2 - 1).to(of)

    def move(incoming: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
        return tuple(None if g is None else g * (1 + step * signs(g)) for g in incoming)

    moved = [np.zeros(tuple(t.shape)) for t in tensors]
    for _ in range(_DIRECTIONS):
        units = [t.detach().abs() * torch.finfo(t.dtype).eps * signs(t) for t in tensors]
        forward = torch.autograd.grad(
            gradients, tensors, grad_outputs=units, retain_graph=True, materialize_grads=True
        )
        hooks = [node.register_prehook(move) for node in _nodes(loss)]
        try:
            noisy = torch.autograd.grad(loss, tensors, retain_graph=True)
        finally:
            for hook in hooks:
                hook.remove()
        for largest, first, second, g in zip(moved, forward, noisy, gradients, strict=True):
            change = abs(first.numpy(force=True)) + abs((second - g).numpy(force=True)) * step
            np.maximum(largest, change, out=largest)
    floors = []
    for largest, gradient in zip(moved, gradients, strict=True):
        unit = np.spacing(np.abs(gradient.numpy(force=True))).astype(np.float64)
        # An entry that changes little by chance has terms of the same size as the others.
        floors.append(_ULPS * np.maximum(np.maximum(largest, largest.mean()), unit))
    return floors


def _nodes(loss: torch.Tensor) -> list[Any]:
    """Every operation of the graph behind the loss."""
    found: dict[Any, None] = {}
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found[node] = None
            waiting += [source for source, _ in node.next_functions]
    return list(found)


def _check(
    hand_written: Mapping[str, Any], loss: torch.Tensor, parameters: Mapping[str, torch.Tensor]
) -> None:
    if set(hand_written) != set(parameters) or not parameters:
        raise ValueError(
            f"hand_written must have the parameters' names {sorted(parameters)}, "
            f"got {sorted(hand_written)}"
        )
    if loss.numel() != 1 or not loss.requires_grad:
        raise ValueError(
            f"loss must be a scalar with a graph, got shape {tuple(loss.shape)}, "
            f"requires_grad={loss.requires_grad}"
        )
    for name, tensor in parameters.items():
        array = np.asarray(hand_written[name])
        if array.shape != tuple(tensor.shape):
            raise ValueError(
                f"d{name} must have {name}'s shape {tuple(tensor.shape)}, got {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"d{name} must be finite, got NaN or infinity")
