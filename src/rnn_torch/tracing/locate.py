"""Find the time step and the gate at which a backward pass is wrong, from its answers alone.

To isolate loss step t, subtract two answers whose targets (or upstream gradients) differ at step t
only. The forward pass is the same and the backward pass is linear in the loss's errors, so all
other steps cancel, for any loss. To isolate state step s, take the entries of a gradient to which
only step s contributes. If each step has its own input feature (or token), these are rows of the
input weights; the right pass tells which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_torch.error_bound.bound import Reference
from rnn_torch.error_bound.bound import reference as derived
from rnn_torch.networks.network import Array, Network
from rnn_torch.networks.problems import Problem, changed_at, designed, with_own_inputs
from rnn_torch.tracing.reverse import Graph, Mistake
from rnn_torch.tracing.step import Step
from rnn_torch.tracing.tape import record

Ask = Callable[[Problem], Mapping[str, Array]]


@dataclass(frozen=True)
class Where:
    """The error of each part of a gradient / what rounding allows; a part above 1 is wrong.

    `cells[label][t, s]`: what the loss at step t+1 contributes at step s+1 to a gradient or one of
    its gates; `zero`: whether the candidate has exactly zero there. `sums[name][t]`: what that loss
    contributes to a gradient whose steps cannot be separated. `by`: "target" if one step's target
    was changed at a time, "prefix" if the sequence was extended one step at a time.
    """

    cells: dict[str, Array]
    zero: dict[str, Array]
    sums: dict[str, Array]
    by: str

    @property
    def wrong(self) -> list[str]:
        """The labels with a wrong part."""
        parts = {**self.cells, **self.sums}
        return [label for label, used in parts.items() if (used > 1).any()]

    def words(self) -> str:
        """The meaning of the first wrong cell."""
        cells = {n: np.argwhere(used > 1) for n, used in self.cells.items() if (used > 1).any()}
        names = dict.fromkeys(label.partition(",")[0] for label in self.wrong)
        if not self.wrong:
            return (
                "the gradient of each loss step alone is right at each state step: only the sum of "
                "several losses is wrong"
            )
        if not cells or (len(names) == 1 and len(self.cells) + len(self.sums) > 1):
            parts = [_losses(u) for name in names for _, u in self._of(name)]
            steps = np.argwhere(np.max(parts, axis=0) > 1)
            which = " and ".join(names)
            only = f"sum for {which} is" if len(names) == 1 else f"sums for {which} are"
            return (
                "every error passed back is right: "
                f"only the {only} wrong, from the loss at t={steps[0][0] + 1} on"
            )
        lags = {n: min((t - s for t, s in ts if s <= t), default=None) for n, ts in cells.items()}
        causal = [lag for lag in lags.values() if lag is not None]
        if not causal:
            return "a loss contributes to the gradient of a later state"
        lag = min(causal)
        labels = [n for n, smallest in lags.items() if smallest == lag]
        t, s = next((t, s) for t, s in cells[labels[0]] if t - s == lag)
        gates = list(dict.fromkeys(n.partition(", ")[2] or n for n in labels))
        all_gates = {n.partition(", ")[2] or n for n in self.cells}
        subject = "everything" if len(gates) == len(all_gates) > 1 else _listed(gates)
        if lag == 0:
            return f"{subject}: wrong at its own step, first at loss t={t + 1}, state t={s + 1}"
        distance = "one step" if lag == 1 else f"{lag} steps"
        vanished = all(self.zero[n][t, s] for n in labels for t, s in cells[n])
        end = ": zero there, no error is passed further back" if vanished else ""
        right = "right at its own step" if lag == 1 else f"right up to {lag - 1} steps back"
        return f"{subject}: {right}, wrong {distance} back, loss t={t + 1} -> state t={s + 1}{end}"

    def _of(self, name: str) -> list[tuple[str, Array]]:
        parts = {**self.cells, **self.sums}
        return [(n, used) for n, used in parts.items() if n.partition(",")[0] == name]


def _listed(labels: list[str]) -> str:
    """`gates i, f and g`."""
    if len(labels) < 2 or not all(label.startswith("gate ") for label in labels):
        return " and ".join(labels)
    *others, last = (label.removeprefix("gate ") for label in labels)
    return f"gates {', '.join(others)} and {last}"


def _losses(used: Array) -> Array:
    return used if used.ndim == 1 else used.max(axis=1)


def locate(
    network: Network,
    ask: Ask,
    fixed: Mapping[str, int] | None = None,
    reference: Callable[[Problem], Reference] | None = None,
) -> Where:
    """Probe a backward pass, loss by loss and step by step.

    Args:
        network: the network that the pass must differentiate.
        ask: the candidate; maps a problem to gradients (some or all) by argument name.
        fixed: axis sizes that the candidate requires.
        reference: the right gradient at a problem; the network's gradient if left out.
    """
    names = error_arguments(network)
    right = reference or (lambda problem: derived(network, problem, measure=True))
    found = _locate(network, ask, fixed, names, "target", right) if names else None
    if found is None or not found.wrong:  # an error that does not depend on the targets
        found = _locate(network, ask, fixed, names, "prefix", right)
    return found


def error_arguments(network: Network) -> list[str]:
    """The arguments that affect only the loss of their step: targets, upstream gradients, masks."""
    problem = designed(network)[0]
    right, found = network.evaluate(problem.values).losses, []
    for name, argument in network.arguments.items():
        if argument.time_axis is not None:
            extra = argument.shape(problem.sizes)[argument.time_axis] - len(right)
            changed = changed_at(network, problem, name, [1 + extra])
            moved = network.evaluate(changed.values).losses != right
            if moved[1] and moved.sum() == 1:
                found.append(name)
    return found


def _locate(
    network: Network,
    ask: Ask,
    fixed: Mapping[str, int] | None,
    names: list[str],
    by: str,
    reference: Callable[[Problem], Reference],
) -> Where:
    timed = [n for n, a in network.arguments.items() if a.time_axis is not None]
    problem = with_own_inputs(network, [n for n in timed if n not in names], fixed)
    steps = problem.sizes["time"]
    owners, labels = _entries_of_one_step(network, problem)
    answer = dict(ask(problem))
    used = {label: np.zeros((steps, steps)) for label, (n, _) in labels.items() if n in answer}
    zero = {label: np.ones((steps, steps), bool) for label in used}
    sums = {f"d{n}": np.zeros(steps) for n in answer if n not in owners}
    zeros = {n: np.zeros(1) for n in answer}
    base = (answer, reference(problem)) if by == "target" else None
    for t in range(steps):
        if by == "target":
            changed = problem
            for name in names:
                extra = problem.values[name].shape[network.arguments[name].time_axis or 0] - steps
                changed = changed_at(network, changed, name, [t + extra])
        else:
            changed = _first_steps(network, problem, t + 1)
        probe = (dict(ask(changed)), reference(changed))
        for name in answer:
            if by == "prefix" and network.arguments[name].time_axis is not None:
                continue  # its shape depends on the number of steps
            start = base[0][name] if base else zeros[name]
            right = base[1].gradients[name] if base else zeros[name]
            bound = base[1].bounds[name] if base else zeros[name]
            moved = probe[0][name] - start
            with np.errstate(all="ignore"):
                error = abs(moved - (probe[1].gradients[name] - right))
                allowed = 2 * (bound + probe[1].bounds[name])
                share = np.where(error == 0, 0.0, error / allowed)
            share = np.where(np.isnan(share), np.inf, share)
            if f"d{name}" in sums:
                sums[f"d{name}"][t] = share.max(initial=0)
            for label, (argument, block) in labels.items():
                for s in range(steps if argument == name else 0):
                    mask = owners[name][s] & block
                    used[label][t, s] = share[mask].max(initial=0)
                    zero[label][t, s] = not moved[mask].any()
        if by == "prefix":
            base = probe
    return Where(used, zero, sums, by)


def _first_steps(network: Network, problem: Problem, count: int) -> Problem:
    steps, values = problem.sizes["time"], {}
    for name, argument in network.arguments.items():
        value, axis = problem.values[name], argument.time_axis
        indices = range(0 if axis is None else value.shape[axis] - steps + count)
        values[name] = value if axis is None else np.take(value, indices, axis)
    return problem._replace(sizes={**problem.sizes, "time": count}, values=values)


def _entries_of_one_step(
    network: Network, problem: Problem
) -> tuple[dict[str, Array], dict[str, tuple[str, Array]]]:
    """Masks of a gradient's entries to which one step alone contributes, and of its gates."""
    template = record(network, designed(network)[0])
    step, graph = Step(template), Graph(record(network, problem, template))
    edges: dict[str, list[Any]] = {}
    for user, j, ref in step.edges:
        if ref in step.leaf:
            edges.setdefault(step.leaf[ref], []).append((template.nodes[user].site, j))
    steps, owners = problem.sizes["time"], {}
    labels: dict[str, tuple[str, Array]] = {}
    for name, uses in edges.items():
        touched = np.zeros((steps, *problem.values[name].shape), bool)
        for s in range(steps):
            only = {e: (lambda c, s=s: c.base() if c.step == s else None) for e in uses}
            touched[s] = graph.gradients(Mistake("", edges=only))[name] != 0
        touched &= touched.sum(axis=0) == 1
        if touched.reshape(steps, -1).any(axis=1).all():
            owners[name] = touched
            labels |= {label: (name, mask) for label, mask in _gates(network, problem, name, step)}
    return owners, labels


def _gates(network: Network, problem: Problem, name: str, step: Step) -> list[tuple[str, Array]]:
    """Masks of the gates along an axis such as `4*hidden`, each with its label."""
    shape = problem.values[name].shape
    for axis, axis_sum in enumerate(network.arguments[name].axes):
        if axis_sum.parts > 1:
            width, names = shape[axis] // axis_sum.parts, step.gates(axis_sum.parts)
            place = np.arange(shape[axis]).reshape(
                [-1 if i == axis else 1 for i in range(len(shape))]
            )
            masks = [np.broadcast_to(place // width == k, shape) for k in range(axis_sum.parts)]
            return [(f"d{name}, gate {g}", m) for g, m in zip(names, masks, strict=True)]
    return [(f"d{name}", np.ones(shape, bool))]
