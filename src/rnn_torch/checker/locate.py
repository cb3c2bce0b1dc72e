"""Locate the time step at which a backward pass goes wrong, from its gradients alone.

Every loss but the one at step t gets a target equal to its output, so that only step t drives the
gradient; and every step has an input of its own (x_s = e_s), so that by (9) row s of dU *is*
delta_s. That yields delta for each pair of a loss step and a state step. A candidate that takes
only one size, with fewer inputs than steps, is asked once for each step instead: only that step
has an input, and U is zero, so that the states do not depend on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from rnn_numpy.elman_network.model import forward
from rnn_torch.checker.candidate import Ask
from rnn_torch.checker.parity import fractions, reference
from rnn_torch.checker.problems import Problem, Shapes, Sizes, problem

_GENERAL = Sizes(time=6, batch=2, n_in=6, hidden=4, n_out=2)


@dataclass(frozen=True)
class Where:
    """How far off each part of the gradient is, as a fraction of what rounding allows.

    `states[t, s]` is delta_{s+1} of the loss at step t+1; `zero` says where the candidate has
    exactly zero instead; `dW[t]` and `dV[t]` are the contributions of that loss.
    """

    states: Float[np.ndarray, "time time"]
    zero: Bool[np.ndarray, "time time"]
    dW: Float[np.ndarray, "time"]
    dV: Float[np.ndarray, "time"]

    @property
    def wrong(self) -> Bool[np.ndarray, "time time"]:
        """Where delta is wrong."""
        return self.states > 1

    def words(self) -> str:
        """What the first wrong cell says."""
        cells = [(int(t), int(s)) for t, s in np.argwhere(self.wrong)]
        if not cells:
            return self._words_without_delta()
        later = [(t, s) for t, s in cells if s > t]
        back = sorted((t - s, t, s) for t, s in cells if s <= t)
        if not back:
            t, s = later[0]
            return f"a loss reaches a later state: loss t={t + 1} -> state t={s + 1}"
        steps, t, s = back[0]
        at = f"loss t={t + 1} -> state t={s + 1}"
        if steps == 0:
            return (
                f"wrong already where loss and state step coincide, first at {at}: "
                "the output's error (6), the derivative (8), or the sum (9)"
            )
        right = "right where loss and state step coincide"
        if steps > 1:
            right = f"right up to {steps - 1} step{'s' * (steps > 2)} back"
        count = "one step" if steps == 1 else f"{steps} steps"
        end = "the recurrent path (7)"
        if all(self.zero[t, s] for t, s in cells):
            end = "zero there: the error goes no further (7)"
        return f"{right}; first wrong {count} back, {at}: {end}"

    def _words_without_delta(self) -> str:
        parts = []
        for name, column, equation in (("dW", self.dW, "(10)"), ("dV", self.dV, "(11)")):
            wrong = np.flatnonzero(column > 1)
            if len(wrong):
                parts.append(f"{name} is wrong from the loss at t={wrong[0] + 1} on {equation}")
        if not parts:
            return (
                "each loss alone is differentiated correctly; only their sum is wrong, or the "
                "gradient under another condition"
            )
        return f"every delta_t is right; {', '.join(parts)}"


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
            used = fractions(answer.gradient, right)
            for row, step in enumerate(steps):
                states[loss_step, step] = used.U[row].max()
                zero[loss_step, step] = not answer.gradient.U[row].any()
            dW[loss_step] = max(dW[loss_step], used.W.max())
            dV[loss_step] = max(dV[loss_step], used.V.max())
    return Where(states, zero, dW, dV)


def _probes(sizes: Sizes, dtype: str, loss_step: int) -> Iterator[tuple[list[int], Problem]]:
    """Problems that only this loss drives, and the step that each row of dU belongs to."""
    drawn = problem(0, sizes, dtype=dtype, name=f"the loss at t={loss_step + 1} alone")
    steps = list(range(sizes.time))
    if sizes.n_in >= sizes.time:
        drawn.x[:] = 0
        drawn.x[steps, :, steps] = 1
        yield steps, _only(drawn, loss_step)
        return
    for step in steps:
        x: Any = np.zeros_like(drawn.x)
        x[step, :, 0] = 1
        params = drawn.params._replace(U=np.zeros_like(drawn.params.U))
        yield [step], _only(drawn._replace(params=params, x=x), loss_step)


def _only(drawn: Problem, loss_step: int) -> Problem:
    """The same problem with every target equal to the output but at this step."""
    targets, _ = forward(drawn.params, drawn.x)
    targets[loss_step] += drawn.targets[loss_step]
    return drawn._replace(targets=targets)
