"""Locate the time step at which a backward pass is wrong, from its gradients alone.

Every loss except the one at step t gets a target equal to its output, so that only step t drives
the gradient. Every step has its own input feature (x_s = e_s), so that by (9) row s of dU *is*
delta_s. This yields delta for each pair of loss step and state step. A candidate that takes only
one size, with fewer inputs than steps, is asked once for each step: only that step has an input,
and U is zero, so that the states do not depend on it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from rnn_numpy.elman_network.model import forward
from bptt_check.judge.comparison import fractions
from bptt_check.judge.subject import Ask, Where
from rnn_torch.elman_by_hand.parity import reference
from rnn_torch.elman_by_hand.problems import Problem, Shapes, Sizes, problem

_GENERAL = Sizes(time=6, batch=2, n_in=6, hidden=4, n_out=2)


def locate(ask: Ask, shapes: Shapes, dtype: str, window: int | None) -> Where:
    """Probe a backward pass, loss by loss and step by step.

    Raises:
        CannotCheck: as `Ask`.
    """
    sizes = shapes.only or _GENERAL
    states = np.zeros((sizes.time, sizes.time))
    zero = np.zeros((sizes.time, sizes.time), bool)
    dW, dV = np.zeros(sizes.time), np.zeros(sizes.time)
    for loss_step in range(sizes.time):
        for steps, probe in _probes(sizes, dtype, loss_step):
            answer, right = ask(probe), reference(probe, window)
            used = fractions(answer.gradients, right)
            for row, step in enumerate(steps):
                states[loss_step, step] = used["U"][row].max()
                zero[loss_step, step] = not answer.gradients["U"][row].any()
            dW[loss_step] = max(dW[loss_step], used["W"].max())
            dV[loss_step] = max(dV[loss_step], used["V"].max())
    words = _words(states > 1, zero, dW, dV)
    return Where({"delta": states}, {"delta": zero}, {"dW": dW, "dV": dV}, words)


def _words(
    wrong: Bool[np.ndarray, "time time"],
    zero: Bool[np.ndarray, "time time"],
    dW: Float[np.ndarray, "time"],
    dV: Float[np.ndarray, "time"],
) -> str:
    """The meaning of the first wrong cell."""
    cells = [(int(t), int(s)) for t, s in np.argwhere(wrong)]
    if not cells:
        return _words_without_delta(dW, dV)
    causal = sorted((t - s, t, s) for t, s in cells if s <= t)
    if not causal:
        t, s = cells[0]
        place = f"loss t={t + 1} -> state t={s + 1}"
        return f"a loss contributes to the gradient of a later state: {place}"
    steps, t, s = causal[0]
    place = f"loss t={t + 1} -> state t={s + 1}"
    if steps == 0:
        return (
            f"wrong at the loss's own step, first at {place}: "
            "the output's error (6), the derivative (8), or the sum (9)"
        )
    right = "right at the loss's own step"
    if steps > 1:
        right = f"right up to {steps - 1} step{'s' * (steps > 2)} back"
    count = "one step" if steps == 1 else f"{steps} steps"
    end = "the recurrent path (7)"
    if all(zero[t, s] for t, s in cells):
        end = "zero there, no error is passed further back (7)"
    return f"{right}; first wrong {count} back, {place}: {end}"


def _words_without_delta(dW: Float[np.ndarray, "time"], dV: Float[np.ndarray, "time"]) -> str:
    parts = []
    for name, column, equation in (("dW", dW, "(10)"), ("dV", dV, "(11)")):
        wrong = np.flatnonzero(column > 1)
        if len(wrong):
            parts.append(f"{name} is wrong from the loss at t={wrong[0] + 1} on {equation}")
    if not parts:
        return (
            "each loss alone is differentiated correctly; the gradient is wrong for the sum of the "
            "losses, or under another condition"
        )
    return f"every delta_t is right; {', '.join(parts)}"


def _probes(sizes: Sizes, dtype: str, loss_step: int) -> Iterator[tuple[list[int], Problem]]:
    """Problems in which only this loss has an error, and the step of each row of dU."""
    base = problem(0, sizes, dtype=dtype, name=f"the loss at t={loss_step + 1} alone")
    steps = list(range(sizes.time))
    if sizes.n_in >= sizes.time:
        base.x[:] = 0
        base.x[steps, :, steps] = 1
        yield steps, _with_one_loss(base, loss_step)
        return
    for step in steps:
        x: Any = np.zeros_like(base.x)
        x[step, :, 0] = 1
        params = base.params._replace(U=np.zeros_like(base.params.U))
        yield [step], _with_one_loss(base._replace(params=params, x=x), loss_step)


def _with_one_loss(base: Problem, loss_step: int) -> Problem:
    """The same problem with targets equal to the outputs, except at this step."""
    targets, _ = forward(base.params, base.x)
    targets[loss_step] += base.targets[loss_step]
    return base._replace(targets=targets)
