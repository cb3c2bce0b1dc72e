"""Where in time, and in which gate, a backward pass goes wrong: read off from its answers alone.

Loss step t alone: the answer at some targets (or upstream gradients) minus that where only those of
step t are others. The forward pass is the same and the backward pass linear in the loss's errors,
so all other steps cancel, whatever the loss. State step s alone: entries of a gradient that only
step s adds to. With an input feature (or a token) of its own at each step these are rows of the
input weights; which they are is asked of the right pass, not assumed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_torch.error_bound.bound import Reference
from rnn_torch.error_bound.bound import reference as derived
from rnn_torch.networks.network import Array, Network
from rnn_torch.networks.problems import Problem, designed, other, with_own_inputs
from rnn_torch.tracing.reverse import Graph, Mistake
from rnn_torch.tracing.step import Step
from rnn_torch.tracing.tape import record

Ask = Callable[[Problem], Mapping[str, Array]]


@dataclass(frozen=True)
class Where:
    """How far off each part of a gradient is: a fraction of what rounding allows; above 1, wrong.

    `cells[label][t, s]`: what the loss at step t+1 adds at step s+1 to a gradient, a gate or all of
    it; `zero` says where the candidate has exactly zero instead. `sums[name][t]`: what that loss
    adds to a gradient whose steps cannot be told apart. `by`: "target" if one loss's target was
    changed at a time, "prefix" if the sequence was made longer by a step at a time.
    """

    cells: dict[str, Array]
    zero: dict[str, Array]
    sums: dict[str, Array]
    by: str

    @property
    def wrong(self) -> list[str]:
        """The labels of what is wrong anywhere."""
        parts = {**self.cells, **self.sums}
        return [label for label, used in parts.items() if (used > 1).any()]

    def words(self) -> str:
        """What the first wrong cell says."""
        cells = {n: np.argwhere(used > 1) for n, used in self.cells.items() if (used > 1).any()}
        names = {label.partition(",")[0] for label in self.wrong}
        if not self.wrong:
            return (
                "every loss step and state step is right alone: it is wrong when they come together"
            )
        if not cells or (len(names) == 1 and len(self.cells) + len(self.sums) > 1):
            label = next(iter(names))
            steps = np.argwhere(np.max([_losses(u) for n, u in self._of(label)], axis=0) > 1)
            return (
                f"every error that is passed back is right: only {label}'s own sum is wrong, "
                f"from the loss at t={steps[0][0] + 1} on"
            )
        lags = {n: min((t - s for t, s in its if s <= t), default=None) for n, its in cells.items()}
        known = [lag for lag in lags.values() if lag is not None]
        if not known:
            return "a loss reaches a later state"
        lag = min(known)
        first = [n for n, its in lags.items() if its == lag]
        t, s = next((t, s) for t, s in cells[first[0]] if t - s == lag)
        gates = list(dict.fromkeys(n.partition(", ")[2] or n for n in first))
        every = {n.partition(", ")[2] or n for n in self.cells}
        what = "everything" if len(gates) == len(every) > 1 else _listed(gates)
        if lag == 0:
            return (
                f"{what}: wrong already at its own step, first at loss t={t + 1}, state t={s + 1}"
            )
        back = "one step" if lag == 1 else f"{lag} steps"
        gone = all(self.zero[n][t, s] for n in first for t, s in cells[n])
        end = ": zero there, the error goes no further" if gone else ""
        up_to = "right at its own step" if lag == 1 else f"right up to {lag - 1} steps back"
        return f"{what}: {up_to}, wrong {back} back, loss t={t + 1} -> state t={s + 1}{end}"

    def _of(self, name: str) -> list[tuple[str, Array]]:
        parts = {**self.cells, **self.sums}
        return [(n, used) for n, used in parts.items() if n.partition(",")[0] == name]


def _listed(labels: list[str]) -> str:
    """`gates i, f and g`."""
    if len(labels) < 2 or not all(label.startswith("gate ") for label in labels):
        return " and ".join(labels)
    *first, last = (label.removeprefix("gate ") for label in labels)
    return f"gates {', '.join(first)} and {last}"


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
        network: what the pass shall differentiate.
        ask: the candidate: a problem to its gradients, by the names of the arguments, or some.
        fixed: sizes that it insists on.
        reference: what is right at a problem; the network's gradient if left out.
    """
    names = error_arguments(network)
    right = reference or (lambda problem: derived(network, problem, measure=True))
    found = _locate(network, ask, fixed, names, "target", right) if names else None
    if found is None or not found.wrong:  # an error that does not depend on the targets
        found = _locate(network, ask, fixed, names, "prefix", right)
    return found


def error_arguments(network: Network) -> list[str]:
    """The arguments that a step's loss alone depends on: targets, upstream gradients, masks."""
    problem = designed(network)[0]
    right, found = network.evaluate(problem.values).losses, []
    for name, argument in network.arguments.items():
        if argument.time_axis is not None:
            extra = argument.shape(problem.sizes)[argument.time_axis] - len(right)
            changed = other(network, problem, name, [1 + extra])
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
    own, labels = _own_entries(network, problem)
    answer = dict(ask(problem))
    used = {label: np.zeros((steps, steps)) for label, (n, _) in labels.items() if n in answer}
    zero = {label: np.ones((steps, steps), bool) for label in used}
    sums = {f"d{n}": np.zeros(steps) for n in answer if n not in own}
    nothing = {n: np.zeros(1) for n in answer}
    last = (answer, reference(problem)) if by == "target" else None
    for t in range(steps):
        if by == "target":
            changed = problem
            for name in names:
                extra = problem.values[name].shape[network.arguments[name].time_axis or 0] - steps
                changed = other(network, changed, name, [t + extra])
        else:
            changed = _first_steps(network, problem, t + 1)
        one = (dict(ask(changed)), reference(changed))
        for name in answer:
            if by == "prefix" and network.arguments[name].time_axis is not None:
                continue  # its shape is another
            before = last[0][name] if last else nothing[name]
            right = last[1].gradients[name] if last else nothing[name]
            bound = last[1].bounds[name] if last else nothing[name]
            moved = one[0][name] - before
            with np.errstate(all="ignore"):
                off = abs(moved - (one[1].gradients[name] - right))
                allowed = 2 * (bound + one[1].bounds[name])
                share = np.where(off == 0, 0.0, off / allowed)
            share = np.where(np.isnan(share), np.inf, share)
            if f"d{name}" in sums:
                sums[f"d{name}"][t] = share.max(initial=0)
            for label, (its, block) in labels.items():
                for s in range(steps if its == name else 0):
                    mask = own[name][s] & block
                    used[label][t, s] = share[mask].max(initial=0)
                    zero[label][t, s] = not moved[mask].any()
        if by == "prefix":
            last = one
    return Where(used, zero, sums, by)


def _first_steps(network: Network, problem: Problem, count: int) -> Problem:
    steps, values = problem.sizes["time"], {}
    for name, argument in network.arguments.items():
        value, axis = problem.values[name], argument.time_axis
        kept = range(0 if axis is None else value.shape[axis] - steps + count)
        values[name] = value if axis is None else np.take(value, kept, axis)
    return problem._replace(sizes={**problem.sizes, "time": count}, values=values)


def _own_entries(
    network: Network, problem: Problem
) -> tuple[dict[str, Array], dict[str, tuple[str, Array]]]:
    """Entries of a gradient that one step alone adds to; and the gates it consists of, as masks."""
    like = record(network, designed(network)[0])
    step, graph = Step(like), Graph(record(network, problem, like))
    edges: dict[str, list[Any]] = {}
    for user, j, ref in step.edges:
        if ref in step.leaf:
            edges.setdefault(step.leaf[ref], []).append((like.nodes[user].site, j))
    steps, own = problem.sizes["time"], {}
    labels: dict[str, tuple[str, Array]] = {}
    for name, its in edges.items():
        touched = np.zeros((steps, *problem.values[name].shape), bool)
        for s in range(steps):
            alone = {e: (lambda at, s=s: at.base() if at.step == s else None) for e in its}
            touched[s] = graph.gradients(Mistake("", edges=alone))[name] != 0
        touched &= touched.sum(axis=0) == 1
        if touched.reshape(steps, -1).any(axis=1).all():
            own[name] = touched
            labels |= {label: (name, mask) for label, mask in _gates(network, problem, name, step)}
    return own, labels


def _gates(network: Network, problem: Problem, name: str, step: Step) -> list[tuple[str, Array]]:
    """The equal parts that an axis such as `4*hidden` says a gradient has, each with its gate."""
    shape = problem.values[name].shape
    for axis, its in enumerate(network.arguments[name].axes):
        if its.parts > 1:
            width, names = shape[axis] // its.parts, step.gates(its.parts)
            place = np.arange(shape[axis]).reshape(
                [-1 if i == axis else 1 for i in range(len(shape))]
            )
            masks = [np.broadcast_to(place // width == k, shape) for k in range(its.parts)]
            return [(f"d{name}, gate {g}", m) for g, m in zip(names, masks, strict=True)]
    return [(f"d{name}", np.ones(shape, bool))]
