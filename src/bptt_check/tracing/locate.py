"""Find the time step and the gate at which a backward pass is wrong, from its answers alone.

To isolate loss step t, subtract two answers whose targets (or upstream gradients) differ at step t
only. The forward pass is the same and the backward pass is linear in the loss's errors, so all
other steps cancel, for any loss. To isolate state step s, take the entries of a gradient to which
only step s contributes. If each step has its own input feature (or token), these are rows of the
input weights; the right pass tells which.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bptt_check.error_bound.bound import Reference
from bptt_check.error_bound.bound import reference as derived
from bptt_check.networks.network import Array, Network
from bptt_check.networks.problems import (
    Problem,
    changed_at,
    general,
    laid_out_as,
    with_own_inputs,
)
from bptt_check.networks.soundness import is_causal
from bptt_check.tracing.reverse import Altered, Graph
from bptt_check.tracing.step import Step
from bptt_check.tracing.tape import record, record_template

Ask = Callable[[Problem], Mapping[str, Array]]
Kind = Literal[
    "own step", "k back", "later state", "final state", "sums only", "whole only", "cannot tell"
]

#: Of each gradient the answer, what is right, and its bound.
_Given = dict[str, tuple[Array, Array, Array]]
_NOTHING = (np.zeros(1), np.zeros(1), np.zeros(1))


@dataclass(frozen=True)
class Claim:
    """What the parts of an answer show; `where_words` says it.

    `own step`, `k back` (k is `lag`): the smallest distance at which `labels` are wrong, first from
    loss `loss` to state `state` (both from 1). `later state`: wrong at later states only. `final
    state`: what comes from a layer's final states `finals` alone is wrong, last at `state`. `sums
    only`: `labels` are wrong, and `right` are right in every part; if these are split by state
    step, the errors passed back that they show are right. `whole only`: every part is right, the
    whole is not. `cannot tell`: `reason` says why; `labels` are wrong, first at `loss`. `on`: at
    each later loss, too. `hidden`: rounding may exceed a cell before the first wrong one, or
    what comes from an output.
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    lag: int | None = None
    loss: int | None = None
    state: int | None = None
    vanished: bool = False  # whether the answer is exactly zero in these cells
    right: tuple[str, ...] = ()
    reason: str = ""
    finals: tuple[str, ...] = ()
    on: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Where:
    """The error of each part of a gradient / what rounding allows; a part above 1 is wrong.

    NaN: rounding may exceed the part. `cells[label][t, s]`: what the loss at step t+1 contributes
    at step s+1 to a gradient or one of its gates; `zero`: whether the candidate has exactly zero
    there. `sums[name][t]`: what that loss contributes to a gradient whose steps cannot be
    separated. `whole`: the gradients that are wrong in an answer that is not split. `problem`: the
    one asked; `apart`: for the cells with inputs at one step at a time, the others 0. `reason`: why
    the answer to it cannot be split by loss step; empty if it can. `finals[name][label][s]`: what
    the upstream gradient of a layer's final state contributes at step s+1.
    """

    cells: dict[str, Array]
    zero: dict[str, Array]
    sums: dict[str, Array]
    whole: tuple[str, ...] = ()
    problem: str = ""
    reason: str = ""
    finals: dict[str, dict[str, Array]] = field(default_factory=dict)
    apart: bool = False

    @property
    def wrong(self) -> list[str]:
        """The labels with a wrong part."""
        parts = [*self.cells.items(), *self.sums.items()]
        parts += [each for rows in self.finals.values() for each in rows.items()]
        return list(dict.fromkeys(label for label, used in parts if (used > 1).any()))

    @property
    def claim(self) -> Claim:
        """What the parts show."""
        if self.reason:
            return Claim("cannot tell", reason=self.reason)
        if not self.wrong:
            if self.whole:
                return Claim("whole only", self.whole)
            return Claim("cannot tell", reason=_right_at(self.problem))
        cells = {n: np.argwhere(used > 1) for n, used in self.cells.items() if (used > 1).any()}
        parts = {**self.cells, **self.sums}
        names = tuple(_names(n for n, used in parts.items() if (used > 1).any()))
        if not names:
            return self._of_final_states()
        unknown = _names(n for n, used in parts.items() if np.isnan(used).any())
        hidden = [n for n in self.whole if n not in _names(self.wrong)]  # right in each part
        told = {*names, *unknown, *hidden}
        right = [n for n in _names([*self.cells, *self.sums]) if n not in told]
        in_cells = [n for n in _names(self.cells) if n in right]
        if not cells:
            since = [first_wrong(self._of(n)) for n in names]
            first = min(t for t, _ in since)
            on = all(each == (first, True) for each in since)
            if in_cells or (len(names) == 1 and right):
                finals = self._of_final_states().finals
                shown = tuple(in_cells or right)
                return Claim("sums only", names, loss=first, right=shown, finals=finals, on=on)
            why = "no gradient could be split by state step"
            if hidden:
                why = f"the whole of {' and '.join(hidden)} is wrong, though each part is right"
            return Claim("cannot tell", names, loss=first, reason=why, on=on)
        return self._first_cell(cells)

    def _first_cell(self, cells: Mapping[str, Array]) -> Claim:
        """The wrong cells at the smallest distance from their loss."""
        lags = {n: min((t - s for t, s in ts if s <= t), default=None) for n, ts in cells.items()}
        causal = [lag for lag in lags.values() if lag is not None]
        if not causal:
            return Claim("later state", tuple(cells))
        lag = int(min(causal))
        at = {n: [(int(t), int(s)) for t, s in ts if t - s == lag] for n, ts in cells.items()}
        t, s = min(itertools.chain.from_iterable(at.values()))
        labels = tuple(n for n, its in at.items() if (t, s) in its)
        vanished = all(self.zero[n][t, s] for n in labels for t, s in cells[n])
        kind: Kind = "k back" if lag else "own step"
        unknown = [(i, j) for n in labels for i, j in np.argwhere(np.isnan(self.cells[n]))]
        hidden = any((i - j, i) < (lag, t) for i, j in unknown)
        return Claim(kind, labels, lag, t + 1, s + 1, bool(lag) and vanished, hidden=hidden)

    def _of_final_states(self) -> Claim:
        """What comes from the final states alone is wrong."""
        rows = [(f, n, used) for f, its in self.finals.items() for n, used in its.items()]
        wrong = [(f, n, np.flatnonzero(used > 1)) for f, n, used in rows if (used > 1).any()]
        state = max((int(at.max()) + 1 for _, n, at in wrong if n in self.cells), default=None)
        finals = tuple(dict.fromkeys(f for f, _, _ in wrong))
        labels = tuple(dict.fromkeys(n for _, n, _ in wrong))
        hidden = any(np.isnan(part).any() for n in _names(labels) for part in self._of(n))
        return Claim("final state", labels, state=state, finals=finals, hidden=hidden)

    def words(self) -> str:
        """The claim as a sentence."""
        return where_words(self.claim, list(self.cells), self.problem)

    def _of(self, name: str) -> list[Array]:
        parts = {**self.cells, **self.sums}
        return [used for n, used in parts.items() if n.partition(",")[0] == name]


def where_words(claim: Claim, cells: Iterable[str], problem: str) -> str:
    """A claim as a sentence; `cells`: the labels that were split by state step."""
    names = " and ".join(claim.labels)
    since = from_loss(claim.loss, claim.on) if claim.loss else ""
    if claim.kind == "cannot tell":
        wrong = f"; wrong {since}: {names}" if since else ""
        return f"cannot tell where: {claim.reason}{wrong}"
    if claim.kind == "whole only":
        return (
            f"at {problem!r} the whole of {names} is wrong, though each loss step alone is right "
            "there, to within rounding"
        )
    if claim.kind == "final state":
        its = f"the upstream gradient of {' and '.join(claim.finals)}"
        since = f", back from state t={claim.state}" if claim.state else ""
        right = "; right from every output" * (not claim.hidden)
        return f"{names}: what comes from {its} is wrong{since}{right}"
    if claim.kind == "sums only":
        shown = " and ".join(claim.right)
        ends = f"; what comes from {' and '.join(claim.finals)} is wrong, too" * bool(claim.finals)
        only = f"sum for {names} is" if len(claim.labels) == 1 else f"sums for {names} are"
        if set(claim.right) <= _names(cells).keys():
            show = "shows" if len(claim.right) == 1 else "show"
            of = " from the outputs" * bool(claim.finals)
            errors = f"every error passed back{of} that {shown} {show} is right"
            return f"{errors}: only the {only} wrong, {since}{ends}"
        return f"only the {only} wrong, {since}: right at each loss step: {shown}{ends}"
    gates = _gates(claim.labels)
    some = [_listed([*gates])] if gates and {*gates} != {*_gates(cells)} else []
    subject = ", ".join([*_names(claim.labels), *some])
    if claim.kind == "later state":
        return f"{subject}: a loss contributes to the gradient of a later state"
    but = ", where rounding may hide what comes before" * claim.hidden
    if claim.kind == "own step":
        place = f"loss t={claim.loss}, state t={claim.state}"
        return f"{subject}: wrong at its own step, first at {place}{but}"
    lag = claim.lag or 0
    distance, before = ("one step" if k == 1 else f"{k} steps" for k in (lag, lag - 1))
    right = "right at its own step, " if lag == 1 else f"right up to {before} back, "
    right *= not claim.hidden
    place = f"loss t={claim.loss} -> state t={claim.state}"
    end = ": zero there, no error is passed further back" if claim.vanished else ""
    return f"{subject}: {right}wrong {distance} back, {place}{but}{end}"


def from_loss(first: int, on: bool) -> str:
    """Since which loss something is wrong; `on`: at each later one, too."""
    return f"from the loss at t={first} on" if on else f"first at the loss at t={first}"


def _names(labels: Iterable[str]) -> dict[str, None]:
    """The gradients that these labels are, or are gates of, once each."""
    return dict.fromkeys(label.partition(",")[0] for label in labels)


def _gates(labels: Iterable[str]) -> dict[str, None]:
    """The gates in these labels, once each; some label whole gradients."""
    return dict.fromkeys(gate for label in labels if (gate := label.partition(", ")[2]))


def _listed(labels: list[str]) -> str:
    """`gates i, f and g`."""
    *others, last = (label.removeprefix("gate ") for label in labels)
    return f"gates {', '.join(others)} and {last}" if others else labels[0]


def _right_at(problem: str) -> str:
    return f"asked {problem!r}, it is right"


def first_wrong(shares: Iterable[Array]) -> tuple[int, bool]:
    """The first loss (from 1) with a wrong part, 0 if there is none; whether each later one has."""
    wrong = np.any([(used > 1).reshape(len(used), -1).any(axis=1) for used in shares], axis=0)
    first = int(np.argmax(wrong))
    return (first + 1, bool(wrong[first:].all())) if wrong.any() else (0, False)


def locate(
    network: Network,
    ask: Ask,
    fixed: Mapping[str, int] | None = None,
    reference: Callable[[Problem], Reference] | None = None,
    *,
    problem: Problem | None = None,
    dtype: str = "float64",
) -> Where:
    """Probe a backward pass, loss by loss and step by step.

    Args:
        network: the network that the pass must differentiate.
        ask: the candidate; maps a problem to gradients (some or all) by argument name.
        fixed: axis sizes that the candidate requires.
        reference: the right gradient at a problem; the network's gradient if left out.
        problem: the problem to split; if left out, one whose steps have inputs of their own.
        dtype: dtype of the problem, if that is left out.

    Raises:
        NotImplementedError: a loss depends on later inputs, or the network cannot be traced.
    """
    if not is_causal(network):
        raise NotImplementedError("cannot tell where in time: a loss depends on later inputs")
    names = error_arguments(network)
    right = reference or (lambda problem: derived(network, problem, measure=True))
    if problem is None:
        timed = [n for n, a in network.arguments.items() if a.time_axis is not None]
        inputs = [n for n in timed if n not in names]
        problem = with_own_inputs(network, inputs, fixed, dtype)

    def probe(problem: Problem) -> _Given:
        return _given(ask(problem), right(problem))

    of_whole = right(problem)
    whole = _given(ask(problem), of_whole)
    parts = _Parts(network, problem, whole)
    if infinite := parts.infinite(whole):
        why = f"at {problem.name!r} no difference can be taken of NaN or infinity"
        return parts.where(f"{why}, which it has in {infinite}")
    if names:
        _by_target(network, probe, names, parts, whole)
        inputs = [n for n, a in network.arguments.items() if a.time_axis is not None]
        inputs = [n for n in inputs if n not in names and network.arguments[n].role != "tokens"]
        if not parts.used and inputs:
            of_step = []
            for step in range(parts.steps):
                one = _with_input_at(network, problem, inputs, step)
                of_step.append(_Parts(network, one, start := probe(one), step=step))
                _by_target(network, probe, names, of_step[-1], start)
            parts.take(of_step)
        found = parts.where()
        if found.wrong or not found.whole:
            return found
    if not parts.whole:
        return parts.where(_right_at(problem.name))
    return _by_prefix(network, ask, right, problem, whole, of_whole, changed_targets=bool(names))


def _by_target(
    network: Network,
    probe: Callable[[Problem], _Given],
    names: list[str],
    parts: "_Parts",
    whole: _Given,
) -> None:
    """Change the target of one step at a time, then the upstream gradient of each final state."""
    for t in range(parts.steps):
        changed = parts.problem
        for name in names:
            count = changed.values[name].shape[network.arguments[name].time_axis or 0]
            changed = changed_at(network, changed, name, [t + count - parts.steps])
        parts.compare(t, whole, probe(changed))
    for name in network.outputs:
        if network.arguments[name].time_axis is None:
            whole_state = range(parts.problem.values[name].shape[0])
            changed = changed_at(network, parts.problem, name, whole_state)
            parts.final(name, whole, probe(changed))


def _with_input_at(network: Network, problem: Problem, inputs: list[str], step: int) -> Problem:
    """The problem with inputs at this step alone: only that step contributes to their weights."""
    values = dict(problem.values)
    for name in inputs:
        axis = network.arguments[name].time_axis or 0
        count = values[name].shape[axis]
        others = np.arange(count) != step + count - problem.sizes["time"]
        value = values[name].copy()
        value[(slice(None),) * axis + (others,)] = 0
        values[name] = laid_out_as(values[name], value)
    return problem._replace(values=values)


def _by_prefix(
    network: Network,
    ask: Ask,
    right: Callable[[Problem], Reference],
    problem: Problem,
    whole: _Given,
    of_whole: Reference,
    *,
    changed_targets: bool,
) -> Where:
    """Extend the sequence step by step: finds an error that does not depend on the targets."""
    timed = {n for n, a in network.arguments.items() if a.time_axis is not None}
    before = dict.fromkeys(whole, _NOTHING)
    parts = _Parts(network, problem, whole, without=timed)
    note = "the mistake does not change with the targets, and " if changed_targets else ""
    if note and of_whole.measured:
        note = "no loss alone is wrong by more than the measured noise, and "
    for t in range(parts.steps):
        shorter = _first_steps(network, problem, t + 1)
        try:
            expected = right(shorter)
        except ValueError:
            return parts.where(f"{note}the network fails with fewer steps")
        if reason := _not_a_prefix(expected, of_whole, t):
            return parts.where(note + reason)
        given = _given(ask(shorter), expected)
        parts.compare(t, before, given)
        before = given
    found = parts.where()
    if not found.wrong and timed & {n.removeprefix("d") for n in found.whole}:
        return parts.where(f"{note}an input's gradient is not split by loss step")
    return found


def _not_a_prefix(shorter: Reference, whole: Reference, t: int) -> str:
    """Why the losses of fewer steps are not the first losses of all; empty if they are."""
    apart = abs(shorter.losses - whole.losses[: t + 1])
    if (apart <= 2 * (shorter.loss_bounds + whole.loss_bounds[: t + 1])).all():
        return ""
    if not whole.losses[:-1].any():
        return "the only loss is at the last step"
    return "the losses depend on the number of steps"


def _given(answer: Mapping[str, Array], right: Reference) -> _Given:
    return {
        n: (np.asarray(g, np.float64), right.gradients[n], right.bounds[n])
        for n, g in answer.items()
    }


def _difference(
    start: tuple[Array, Array, Array], end: tuple[Array, Array, Array]
) -> tuple[Array, Array, Array]:
    """The error of the difference between two answers, its right size, what rounding allows."""
    (old, old_right, old_bound), (new, right, bound) = start, end
    with np.errstate(all="ignore"):  # the candidate's infinities
        error = abs((new - old) - (right - old_right))
    return error, abs(right - old_right), 2 * (bound + old_bound)


class _Parts:
    """What each loss step contributes to the gradients, split by state step where possible."""

    def __init__(
        self,
        network: Network,
        problem: Problem,
        whole: _Given,
        without: Iterable[str] = (),
        step: int | None = None,
    ) -> None:
        self.problem, self.steps = problem, problem.sizes["time"]
        wrong = (n for n, its in whole.items() if _share(*_difference(_NOTHING, its)) > 1)
        self.whole = tuple(f"d{n}" for n in wrong)
        self.names = [n for n in whole if n not in set(without)]
        self.owners, labels = _entries_of_one_step(network, problem, step)
        self.labels = {label: (n, b) for label, (n, b) in labels.items() if n in self.names}
        self.used = {label: np.zeros((self.steps, self.steps)) for label in self.labels}
        self.zero = {label: np.ones((self.steps, self.steps), bool) for label in self.used}
        self.sums = {f"d{n}": np.zeros(self.steps) for n in self.names if n not in self.owners}
        self.finals: dict[str, dict[str, Array]] = {}
        self.outputs = network.outputs
        self.apart = False  # whether the cells are of problems with one step's inputs each

    def infinite(self, given: _Given) -> str:
        """Where an answer has NaN or infinity: the gradients, with the steps if they are split."""
        found = []
        for name, (gradient, _, _) in given.items():
            bad = ~np.isfinite(gradient)
            owners = self.owners.get(name, ())
            steps = [str(s + 1) for s, own in enumerate(owners) if (bad & own).any()]
            if bad.any():
                found.append(f"d{name}" + f" at state t={', '.join(steps)}" * bool(steps))
        return "; ".join(found)

    def final(self, name: str, start: _Given, end: _Given) -> None:
        """Enter the difference of two answers: what a final state's upstream contributes."""
        rows = self.finals[self.outputs[name]] = {}
        for argument in self.names:
            if argument not in self.owners:
                found = _difference(start[argument], end[argument])
                rows[f"d{argument}"] = np.array([_share(*found)])
        for label, (argument, block) in self.labels.items():
            found = _difference(start[argument], end[argument])
            masks = (self.owners[argument][s] & block for s in range(self.steps))
            rows[label] = np.array([_share(*(each[mask] for each in found)) for mask in masks])

    def compare(self, t: int, start: _Given, end: _Given) -> None:
        """Enter the difference of two answers: what the loss of step t contributes."""
        for name in self.names:
            found = _difference(start[name], end[name])
            with np.errstate(invalid="ignore"):  # the candidate's infinities
                moved = end[name][0] - start[name][0]
            if name not in self.owners:
                self.sums[f"d{name}"][t] = _share(*found)
            for label, (argument, block) in self.labels.items():
                for s in range(self.steps if argument == name else 0):
                    mask = self.owners[name][s] & block
                    self.used[label][t, s] = _share(*(each[mask] for each in found))
                    self.zero[label][t, s] = not moved[mask].any()

    def take(self, of_step: Sequence["_Parts"]) -> None:
        """Take over what a problem for each state step shows of it, if all show something."""
        for label in of_step[0].used:
            if any(label not in found.used for found in of_step):
                continue
            of, self.apart = label.partition(",")[0], True
            self.sums.pop(of, None)
            for cells in ("used", "zero"):
                columns = [vars(found)[cells][label][:, s] for s, found in enumerate(of_step)]
                vars(self)[cells][label] = np.stack(columns, axis=1)
            for name, rows in self.finals.items():
                rows.pop(of, None)
                parts = [found.finals[name][label][s] for s, found in enumerate(of_step)]
                rows[label] = np.array(parts)

    def where(self, reason: str = "") -> Where:
        """What was found; with a reason, only that the answers cannot be split."""
        its = self.whole, self.problem.name, reason
        if reason:
            return Where({}, {}, {}, *its)
        return Where(self.used, self.zero, self.sums, *its, self.finals, self.apart)


def _share(error: Array, size: Array, allowed: Array) -> float:
    """The largest error / what rounding allows; NaN if that may exceed all of the part's size."""
    with np.errstate(all="ignore"):
        share = np.where(error == 0, 0.0, error / allowed)
    largest = float(np.where(np.isnan(share), np.inf, share).max(initial=0))
    is_told = largest > 1 or not size.any() or (size > allowed).any()
    return largest if is_told else np.nan


def error_arguments(network: Network) -> list[str]:
    """The arguments that affect only the loss of their step: targets, upstream gradients, masks."""
    problem = general(network)
    right, found = network.evaluate(problem.values).losses, []
    for name, argument in network.arguments.items():
        if argument.time_axis is not None:
            extra = argument.shape(problem.sizes)[argument.time_axis] - len(right)
            changed = changed_at(network, problem, name, [1 + extra])
            moved = network.evaluate(changed.values).losses != right
            if moved[1] and moved.sum() == 1:
                found.append(name)
    return found


def _first_steps(network: Network, problem: Problem, count: int) -> Problem:
    steps, sizes, values = problem.sizes["time"], {**problem.sizes, "time": count}, {}
    for name, argument in network.arguments.items():
        value, axis = problem.values[name], argument.time_axis
        if axis is not None:
            value = value[(slice(None),) * axis + (slice(value.shape[axis] - steps + count),)]
        if argument.below and "time" in argument.below.names:  # such as the length of a sequence
            value = np.minimum(value, argument.below.size(sizes) - 1)
        values[name] = value
    return problem._replace(sizes=sizes, values=values)


def _entries_of_one_step(
    network: Network, problem: Problem, step_asked: int | None
) -> tuple[dict[str, Array], dict[str, tuple[str, Array]]]:
    """Masks of a gradient's entries to which one step alone contributes, and of its gates.

    Every step must have some; if `step_asked` is given, that step.
    """
    template = record_template(network)
    step, graph = Step(template), Graph(record(network, problem, template))
    nodes, steps = graph.nodes, problem.sizes["time"]
    into = {  # what the steps contribute to the rest, except through an initial state
        (nodes[user].site, j)
        for ref, users in enumerate(graph.users)
        for user, j in users
        if nodes[ref].step < 0 <= nodes[user].step
    } - graph.crossing.keys()
    touched = []
    for s in range(steps):
        only = dict.fromkeys(into, lambda c, s=s: c.base() if c.step == s else None)
        touched.append(graph.gradients(Altered(edges=only)))
    owners: dict[str, Array] = {}
    labels: dict[str, tuple[str, Array]] = {}
    asked = [*range(steps)] if step_asked is None else [step_asked]
    for name in network.differentiated:
        entries = _of_one_step(np.stack([found[name] != 0 for found in touched]), asked)
        has_some = np.array([part.any() for part in entries])
        axis = network.arguments[name].time_axis
        if not has_some.all() and axis is not None and entries.shape[1 + axis] == steps:
            entries = np.zeros_like(entries)  # an input that is used again after an output
            for s in range(steps):
                np.moveaxis(entries[s], axis, 0)[s] = True
            has_some[:] = True
        if has_some[asked].all():
            owners[name] = entries
            labels |= {
                label: (name, mask) for label, mask in gate_masks(network, problem, name, step)
            }
    return owners, labels


def _of_one_step(touched: Array, asked: Sequence[int]) -> Array:
    """The entries that one step alone contributes to, (steps, *axes).

    Where it contributes nothing a wrong pass may: so whole rows, such as those of input features,
    along an axis on which each step that is asked has a row of its own.
    """
    found = touched & (touched.sum(axis=0) == 1)
    for axis in range(1, touched.ndim):
        others = tuple(i for i in range(1, touched.ndim) if i != axis)
        rows = touched.any(axis=others, keepdims=True)
        rows &= rows.sum(axis=0) == 1
        if all(rows[step].any() for step in asked):
            found |= rows
    return found


def gate_masks(
    network: Network, problem: Problem, name: str, step: Step
) -> list[tuple[str, Array]]:
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
