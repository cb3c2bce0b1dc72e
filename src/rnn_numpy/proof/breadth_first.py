"""The breadth-first search behind `explore`: states in columns, a block expanded at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64

from rnn_numpy.proof.machine import GaveUp, Machine, Proved, Reason, Refuted, Verdict
from rnn_numpy.proof.rounded_network import RoundedNetwork
from rnn_numpy.tasks.targets import Target

_CHUNK = 1 << 12  # states expanded together, which bounds the memory for intermediate results


class _GaveUp(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Search:
    """A breadth-first search over (network's state, target's state)."""

    def __init__(
        self,
        network: RoundedNetwork,
        target: Target,
        limit: int,
        on_progress: Callable[[int], object],
    ) -> None:
        self.network, self.target = network, target
        self.limit, self.on_progress = limit, on_progress
        count = 2**target.operands
        self.inputs = target.bits(np.arange(count)).astype(np.float64)
        odd = np.random.default_rng(0).integers(1 << 62, size=network.hidden + 1) * 2 + 1
        self.multipliers = odd.astype(np.uint64)
        self.known = _Table(
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
        self.keys = self._keys(self.known["levels"], self.known["task"])
        self.index = np.zeros(1, np.int32)  # the states in the order of their keys
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
            except _GaveUp as why:
                reasons = (why.reason,)
                break
            depth += 1
            frontier = np.unique(np.concatenate(found))
        if self.wrong is not None:
            return Refuted(**self._explored(depth), inputs=self._path(*self.wrong))
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
                raise _GaveUp("limit")
        return levels, row

    def _reach(
        self, levels: Any, task: Any, source: Any, number: Any, certain: Any
    ) -> tuple[Any, Any]:
        """The numbers of these states, new or not, and of those that are to be followed."""
        known = self.known
        keys = self._keys(levels, task)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        there = self.keys[at] == keys
        reached = np.where(there, self.index[at], -1)
        new_keys, first, which = np.unique(keys[~there], return_index=True, return_inverse=True)
        first = np.flatnonzero(~there)[first]
        reached[~there] = len(known) + which
        self._add(levels[first], task[first], source[first], number[first], certain[first])
        same = (known["levels"][reached] == levels).all(axis=1) & (known["task"][reached] == task)
        if not same.all():
            raise _GaveUp("keys")  # one in 2^58 pairs of states
        new = np.arange(len(known) - len(first), len(known))
        keys = np.concatenate([self.keys, new_keys])
        order = np.argsort(keys, kind="stable")
        self.keys, self.index = keys[order], np.concatenate([self.index, new])[order]

        # Known from paths with ties only until now: what follows from it is certain now.
        better = np.flatnonzero(certain & ~known["certain"][reached])
        known["certain"][reached[better]] = True
        known["parent"][reached[better]] = source[better]
        known["via"][reached[better]] = number[better]
        return reached, np.concatenate([new, reached[better]])

    def _add(self, levels: Any, task: Any, source: Any, number: Any, certain: Any) -> None:
        count = len(levels)
        if len(self.known) + count > self.limit:
            raise _GaveUp("limit")
        outputs = self.network.outputs(levels * self.network.unit)
        distance = np.abs(outputs - 0.5)
        self.margin = min(self.margin, float(distance.min(initial=0.5)))
        self.known.append(
            levels=levels,
            task=task,
            output=outputs > 0.5,
            unsure=distance <= self.network.output_error,
            next=np.full((count, len(self.inputs)), -1),
            certain=certain,
            parent=source,
            via=number,
        )
        self.on_progress(count)

    def _keys(self, levels: Any, task: Any) -> Any:
        """A number for each state, in all likelihood different ones for different states."""
        words = np.column_stack([levels, task]).astype(np.uint64)
        return (words * self.multipliers).sum(axis=1)

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


class _Table:
    """Columns that grow together."""

    def __init__(self, **columns: Any) -> None:
        self._columns, self._count = columns, 1

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> Any:
        return self._columns[name][: self._count]

    def append(self, **rows: Any) -> None:
        before, self._count = self._count, self._count + len(rows["parent"])
        for name, column in self._columns.items():
            if len(column) < self._count:
                more = np.empty((2 * self._count - len(column), *column.shape[1:]), column.dtype)
                self._columns[name] = np.concatenate([column, more])
            self._columns[name][before : self._count] = rows[name]
