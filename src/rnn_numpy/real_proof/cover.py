"""Cover all reachable states by finitely many sets that are closed under every input.

The first set contains h_0. Each set is led on by each input; if no set contains the image, a set
around it is added. When no transition is left, every step of the network leads from a set into a
set, for operands of every length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.proof.machine import Table
from rnn_numpy.real_proof.containment import nearest_that_contain
from rnn_numpy.real_proof.enclosure import Images, Network

#: Radius of a new set, as a multiple of its image's; of the first set, of the usual radius.
LARGER, FIRST = 1.02, 1e-4
#: The sets of this many first steps are as small as possible: errors may grow there, but only once.
EARLY = 4
BATCH = 512  # transitions that are followed together


class Cover(NamedTuple):
    """Sets `{c + e : |L_q e| <= radius}`, closed under every input; set 0 contains h_0."""

    centre: Float[np.ndarray, "sets hidden"]
    radius: Float[np.ndarray, " sets"]
    q: Int64[np.ndarray, " sets"]
    next: Int64[np.ndarray, "sets inputs"]
    #: lambda of the containment in the next set, as a fraction of that set's squared radius.
    share: Float[np.ndarray, "sets inputs"]


class TooManySets(NamedTuple):
    """No cover was found: there were more sets than the limit."""

    sets: int
    limit: int

    def __str__(self) -> str:
        return f"more than {self.limit} sets"


class Uncertain(NamedTuple):
    """No cover was found: the output after a step is not certain."""

    sets: int
    source: int  # the set before the step
    inputs: Int64[np.ndarray, " steps"]  # those that lead to it, and the input of the step
    factor: float  # by which the step multiplies errors in the metric

    def __str__(self) -> str:
        *before, last = map(str, self.inputs)
        return (
            f"an output is not certain after inputs {' '.join(before)} and then {last}, which lead "
            f"on from set {self.source} of {self.sets}; this step multiplies errors by at most "
            f"{self.factor:.2f}"
        )


class Worklist:
    """The sets found so far, in columns, and the transitions to follow, the oldest first."""

    def __init__(self, network: Network, usual: float) -> None:
        self.network, self.usual = network, usual
        hidden, self.inputs = len(network.W), network.classes.next.shape[1]
        self.table = Table(
            centre=np.zeros((1, hidden)),
            seen=np.zeros((1, hidden)),  # L c
            radius=np.full(1, usual * FIRST),
            q=np.zeros(1, np.int64),
            next=np.full((1, self.inputs), -1),
            share=np.zeros((1, self.inputs)),
            depth=np.zeros(1, np.int64),
            parent=np.zeros((1, 2), np.int64),
        )
        # Set 0 is no member of its class: it must not contain an image, as its output is no bit.
        self.members: list[list[int]] = [[] for _ in network.classes.task]
        self.followed = 0
        self.obstacle: Uncertain | None = None

    @property
    def count(self) -> int:
        """The number of sets."""
        return len(self.table)

    def follow(self) -> None:
        """Follow a batch of transitions; set `obstacle` if an output is not certain."""
        batch = np.arange(self.followed, min(self.followed + BATCH, self.count * self.inputs))
        self.followed += len(batch)
        source, number = np.divmod(batch, self.inputs)
        centre, radius, q = (self.table[name][source] for name in ("centre", "radius", "q"))
        images = self.network.step(centre, radius, q, number)
        to, share = np.full(len(batch), -1), np.zeros(len(batch))
        for q in np.unique(images.q).tolist():
            mine = np.flatnonzero(images.q == q)
            parents = np.column_stack([source, number])[mine]
            to[mine], share[mine] = self._place(q, Images(*(c[mine] for c in images)), parents)
        self.table["next"][source, number] = to
        self.table["share"][source, number] = share
        if (to < 0).any():
            i = int(np.argmax(to < 0))
            factor = float(np.sqrt(images.axes[i, -1]) / self.table["radius"][source[i]])
            path = np.append(self._path(int(source[i])), number[i])
            self.obstacle = Uncertain(self.count, int(source[i]), path, factor)

    def _place(self, q: int, images: Images, parents: Any) -> tuple[Any, Any]:
        """The set that contains each of these images of class q, and lambda; adds missing sets.

        The set is -1 if a set around the image would contain states without a certain output.
        """
        seen = images.centre @ self.network.L[q].T
        need = LARGER * (np.sqrt(images.axes[:, -1]) + images.rest)
        most = self.network.room(images.centre, images.q)
        found, share = self._search(self.members[q], seen, images)
        waiting = np.flatnonzero((found < 0) & (need <= most))
        while len(waiting):
            i = waiting[0]
            depth = self.table["depth"][parents[i, 0]] + 1
            radius = need[i] if depth < EARLY else min(most[i], max(self.usual, need[i]))
            new = self.count
            self.members[q].append(new)
            self.table.append(
                1, centre=images.centre[i], seen=seen[i], radius=radius, q=q, parent=parents[i],
                depth=depth, next=-1, share=0,
            )  # fmt: skip
            remaining = Images(*(column[waiting] for column in images))
            found[waiting], share[waiting] = self._search([new], seen[waiting], remaining)
            waiting = waiting[1:][found[waiting[1:]] < 0]
        return found, share

    def _search(self, sets: list[int], seen: Any, images: Images) -> tuple[Any, Any]:
        """The one of these sets that contains each image, or -1; and lambda."""
        if not sets:
            return np.full(len(seen), -1), np.zeros(len(seen))
        members = np.array(sets)
        balls = self.table["seen"][members], self.table["radius"][members]
        found, share = nearest_that_contain(seen, images, *balls)
        return np.where(found < 0, -1, members[found]), share

    def _path(self, i: int) -> list[int]:
        """The inputs that lead from h_0 to the image for which this set was added."""
        inputs: list[int] = []
        while i:
            i, number = self.table["parent"][i].tolist()
            inputs.append(number)
        return inputs[::-1]


def cover(
    network: Network,
    usual: float,
    limit: int,
    on_progress: Callable[[int], object] = lambda sets: None,
) -> Cover | TooManySets | Uncertain:
    """Sets that are closed under every input, or why none were found.

    `usual` is the least radius of a set but in the first steps, `limit` the largest number of sets;
    `on_progress` is called with the number of sets found since the last call.
    """
    work = Worklist(network, usual)
    while work.followed < work.count * work.inputs:
        before = work.count
        work.follow()
        on_progress(work.count - before)
        if work.obstacle is not None:
            return work.obstacle
        if work.count > limit:
            return TooManySets(work.count, limit)
    names = ("centre", "radius", "q", "next", "share")
    return Cover(*(work.table[name] for name in names))
