"""Prove or refute a network with a b-bit state: visit every state that it can reach.

The reachable pairs (network's state, target's state) are finitely many. They are visited breadth
first from (0, 0) under every input: either all output the right bit, which proves the network
for operands of every length, or the path to the first that does not is a shortest counterexample.

Where a value lies within its rounding error of a tie, both neighbours are followed: what is proved
then holds for every order of summation, with or without fused multiply-add.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64

from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.proof.machine import (
    GaveUp,
    Machine,
    Proved,
    Reason,
    Refuted,
    Table,
    Verdict,
    run_example,
)
from rnn_numpy.proof.rounded_network import RoundedNetwork
from rnn_numpy.tasks.targets import Target, addition, check_fits

#: States explored at most, unless another limit is given; about 400 bytes each.
LIMIT = 1_000_000
#: float32 represents multiples of 2^-16 between 0 and 1 exactly.
MOST_STATE_BITS = 16
_CHUNK = 1 << 12  # states expanded together, which bounds the memory for intermediate results


class _TooMany(Exception):
    """There are more states than the limit."""


class _Search:
    """A breadth-first search over (network's state, target's state), a block at a time."""

    def __init__(
        self,
        params: Params,
        state_bits: int,
        target: Target,
        limit: int,
        on_progress: Callable[[int], object],
    ) -> None:
        self.params, self.target = params, target
        self.network = network = RoundedNetwork(params, state_bits)
        self.limit, self.on_progress = limit, on_progress
        count = 2**target.operands
        self.inputs = target.bits(np.arange(count)).astype(np.float64)
        self.known = Table(
            levels=np.zeros((1, network.hidden), network.dtype),
            task=np.zeros(1, np.int16),
            output=np.zeros(1, np.uint8),
            unsure=np.ones(1, bool),  # whether rounding can change the output
            next=np.full((1, count), -1, np.int32),
            # Whether it is reachable without a tie: the chain of parents is such a path.
            certain=np.ones(1, bool),
            parent=np.zeros(1, np.int32),
            via=np.zeros(1, np.int16),
        )
        self.number = dict.fromkeys(self._keys(self.known["levels"], self.known["task"]), 0)
        self.branches = [np.empty((0, 3), np.int64)]
        self.margin = self.tie_distance = 0.5
        self.wrong: tuple[int, int] | None = None  # a state, and the input after it
        self.tie_decides = False

    def run(self) -> Verdict:
        """Search until no state is new, one is wrong, or there is a reason to give up."""
        reasons: tuple[Reason, ...] = ()
        if not self.network.state_error < self.network.unit / 2:  # NaN too
            reasons = ("rounding",)
        depth, frontier = 0, np.zeros(1, np.int64)
        while len(frontier) and not reasons and self.wrong is None:
            try:
                chunks = range(0, len(frontier), _CHUNK)
                found = [self._expand(frontier[start : start + _CHUNK]) for start in chunks]
            except _TooMany:
                reasons = ("limit",)
                break
            depth += 1
            frontier = np.unique(np.concatenate(found))
        if self.wrong is not None:
            inputs = self._path(*self.wrong)
            example = run_example(self.params, self.target, inputs, self.network.state_bits)
            return Refuted(**self._explored(depth), example=example)
        if self.tie_decides:
            reasons += ("tie",)
        if reasons:
            return GaveUp(**self._explored(depth), reasons=reasons, limit=self.limit)
        return Proved(**self._explored(depth - 1))  # the last round found nothing new

    def _expand(self, sources: Int64[np.ndarray, " sources"]) -> Int64[np.ndarray, " found"]:
        """Follow every input from these states; returns those to be followed next."""
        known, network = self.known, self.network
        exact = network.step(known["levels"][sources] * network.unit, self.inputs)
        exact = exact.reshape(-1, network.hidden)
        nearest = np.rint(exact)
        distance = 0.5 - np.abs(exact - nearest)
        self.tie_distance = min(self.tie_distance, float(distance.min()) * network.unit)
        tie = distance * network.unit <= network.state_error
        count = len(self.inputs)
        source, number = sources.repeat(count), np.tile(np.arange(count), len(sources))
        certain = known["certain"][source] & ~tie.any(axis=1)
        levels, row = self._neighbours(nearest, np.sign(exact - nearest), tie)

        # A path without ties is to be preferred where there are two.
        order = np.argsort(~certain[row], kind="stable")
        levels, row = levels[order], row[order]
        task = self.target.next[known["task"][source], number]
        right = self.target.output[known["task"][source], number]
        reached, found = self._reach(levels, task[row], source[row], number[row], certain[row])
        main = row[order < len(source)], reached[order < len(source)]
        known["next"][source[main[0]], number[main[0]]] = main[1]
        other = order >= len(source)
        branches = np.column_stack([source[row], number[row], reached])[other]
        self.branches.append(branches)

        if (reached == 0).any():  # back at the beginning, whose output is 1/2
            self.margin = 0.0
        unsure = known["unsure"][reached]
        wrong = unsure | (known["output"][reached] != right[row])
        definite = wrong & certain[row] & ~unsure
        if definite.any() and self.wrong is None:
            first = row[np.argmax(definite)]
            self.wrong = int(source[first]), int(number[first])
        elif wrong.any():
            self.tie_decides = True
        return found

    def _neighbours(self, nearest: Any, direction: Any, tie: Any) -> tuple[Any, Any]:
        """The states on both sides of every tie, and the row that each comes from."""
        levels, row = nearest.astype(self.network.dtype), np.arange(len(nearest))
        for unit in np.flatnonzero(tie.any(axis=0)):
            tied = tie[row, unit]
            others, from_row = levels[tied], row[tied]
            others[:, unit] = nearest[from_row, unit] + direction[from_row, unit]
            levels, row = np.concatenate([levels, others]), np.concatenate([row, from_row])
            if len(levels) > self.limit + len(nearest):
                raise _TooMany
        return levels, row

    def _reach(
        self, levels: Any, task: Any, source: Any, number: Any, certain: Any
    ) -> tuple[Any, Any]:
        """The numbers of these states, new or not, and of those that are to be followed."""
        known, number_of = self.known, self.number
        keys = self._keys(levels, task)
        reached = np.array([number_of.setdefault(key, len(number_of)) for key in keys], np.int64)
        new, first = np.unique(reached, return_index=True)
        first, new = first[new >= len(known)], new[new >= len(known)]
        self._add(levels[first], task[first], source[first], number[first], certain[first])

        # Known from paths with ties only until now: what follows from it is certain now.
        better = np.flatnonzero(certain & ~known["certain"][reached])
        known["certain"][reached[better]] = True
        known["parent"][reached[better]] = source[better]
        known["via"][reached[better]] = number[better]
        return reached, np.concatenate([new, reached[better]])

    def _add(self, levels: Any, task: Any, source: Any, number: Any, certain: Any) -> None:
        count = len(levels)
        if len(self.known) + count > self.limit:
            raise _TooMany
        outputs = self.network.outputs(levels * self.network.unit)
        distance = np.abs(outputs - 0.5)
        self.margin = min(self.margin, float(distance.min(initial=0.5)))
        self.known.append(
            count,
            levels=levels,
            task=task,
            output=outputs > 0.5,
            unsure=distance <= self.network.output_error,
            next=-1,
            certain=certain,
            parent=source,
            via=number,
        )
        self.on_progress(count)

    def _keys(self, levels: Any, task: Any) -> list[bytes]:
        """Each state as bytes; a state of the target is below 2^16."""
        rows = np.column_stack([levels, task.astype(np.uint16)])
        return list(map(bytes, rows))

    def _explored(self, depth: int) -> dict[str, Any]:
        """The fields of every verdict."""
        known = self.known
        return {
            "state_bits": self.network.state_bits,
            "target": self.target,
            "states": len(known),
            "depth": depth,
            "margin": self.margin,
            "margin_error": self.network.output_error,
            "tie_distance": self.tie_distance,
            "tie_error": self.network.state_error,
            "machine": Machine(
                known["levels"],
                known["task"],
                known["output"],
                known["next"],
                np.concatenate(self.branches),
            ),
        }

    def _path(self, state: int, last: int) -> Int64[np.ndarray, " steps"]:
        inputs = [last]
        while state != 0:
            inputs.append(int(self.known["via"][state]))
            state = int(self.known["parent"][state])
        return np.array(inputs[::-1])


def explore(
    params: Params,
    state_bits: int,
    target: Target = addition,
    *,
    limit: int = LIMIT,
    on_progress: Callable[[int], object] = lambda states: None,
) -> Verdict:
    """Prove or refute that the network computes the target, for operands of every length.

    Args:
        params: the weights; one input for each operand, one output.
        state_bits: b, 1 to 16: each h_t is rounded to the nearest multiple of 2^-b, ties to even.
        limit: give up beyond this many states.
        on_progress: called with the number of states found since the last call.

    Raises:
        TypeError, ValueError: as `check_params`; weights that do not fit the target; state bits or
            a limit out of range.
    """
    check_params(params)
    check_integer("state_bits", state_bits, 1, MOST_STATE_BITS)
    check_fits(target, params)
    if limit < 1:
        raise ValueError(f"limit must be at least 1 state, got {limit}")
    return _Search(params, state_bits, target, limit, on_progress).run()
