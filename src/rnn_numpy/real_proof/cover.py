"""Cover all that the network can reach by finitely many sets, closed under every input.

Begin with {h_0}. Where no known set contains what a set is led to, add one around it. If that
ever ends, each step of the network leads from a set into a set: the proof for every length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.real_proof.containment import nearest_that_contain
from rnn_numpy.real_proof.enclosure import Images, Network

#: How much larger than what it is made for a set is; and {h_0}, than nothing.
LARGER, FIRST = 1.02, 1e-4
#: Sets in the first steps are as small as can be: there errors may grow, once, before they shrink.
EARLY = 4
BATCH = 512  # transitions that are followed together


class Cover(NamedTuple):
    """Sets `{c + e : |L_q e| <= radius}`, closed under every input; set 0 holds h_0."""

    centre: Float[np.ndarray, "sets hidden"]
    radius: Float[np.ndarray, " sets"]
    q: Int64[np.ndarray, " sets"]
    next: Int64[np.ndarray, "sets inputs"]
    #: lambda of the containment, as a part of the squared radius of the set that is led to.
    share: Float[np.ndarray, "sets inputs"]


class Obstacle(NamedTuple):
    """What stood in the way: a step from a set to states whose output is not certain."""

    sets: int
    #: The set, the inputs that lead to it, the last of them the one in question, and by what factor
    #: this step shrinks errors in the metric; None where only the limit of sets stood in the way.
    step: tuple[int, Int64[np.ndarray, " steps"], float] | None


class Worklist:
    """Sets in columns, and the transitions that are still to be followed, the oldest first."""

    def __init__(self, network: Network, usual: float) -> None:
        self.network, self.usual = network, usual
        hidden, self.inputs = len(network.W), network.classes.next.shape[1]
        size = 1024
        self.columns: dict[str, Any] = {
            "centre": np.zeros((size, hidden)),
            "seen": np.zeros((size, hidden)),  # L c
            "radius": np.full(size, usual * FIRST),
            "q": np.zeros(size, np.int64),
            "next": np.full((size, self.inputs), -1),
            "share": np.zeros((size, self.inputs)),
            "depth": np.zeros(size, np.int64),
            "parent": np.zeros((size, 2), np.int64),
        }
        # Nothing is led to {h_0}, since its output is no bit.
        self.members: list[list[int]] = [[] for _ in network.classes.task]
        self.count, self.followed = 1, 0
        self.obstacle: Obstacle | None = None

    def follow(self) -> None:
        """Lead a batch of transitions on; leaves an obstacle if one cannot be."""
        now = np.arange(self.followed, min(self.followed + BATCH, self.count * self.inputs))
        self.followed += len(now)
        source, number = np.divmod(now, self.inputs)
        columns = self.columns
        centre, radius, q = (columns[name][source] for name in ("centre", "radius", "q"))
        images = self.network.step(centre, radius, q, number)
        to, share = np.full(len(now), -1), np.zeros(len(now))
        for q in np.unique(images.q).tolist():
            mine = np.flatnonzero(images.q == q)
            parents = np.column_stack([source, number])[mine]
            to[mine], share[mine] = self._place(q, Images(*(c[mine] for c in images)), parents)
        self.columns["next"][source, number] = to
        self.columns["share"][source, number] = share
        if (to < 0).any():
            i = int(np.argmax(to < 0))
            factor = float(np.sqrt(images.axes[i, -1]) / columns["radius"][source[i]])
            path = np.append(self._path(int(source[i])), number[i])
            self.obstacle = Obstacle(self.count, (int(source[i]), path, factor))

    def _place(self, q: int, images: Images, parents: Any) -> tuple[Any, Any]:
        """Which set contains each of these images of class q, made where there is none; lambda."""
        seen = images.centre @ self.network.L[q].T
        need = LARGER * (np.sqrt(images.axes[:, -1]) + images.rest)
        most = self.network.room(images.centre, images.q)
        found, share = self._search(self.members[q], seen, images)
        waiting = np.flatnonzero((found < 0) & (need <= most))
        while len(waiting):
            i = waiting[0]
            early = self.columns["depth"][parents[i, 0]] + 1 < EARLY
            radius = need[i] if early else min(most[i], max(self.usual, need[i]))
            new = self._add(
                centre=images.centre[i], seen=seen[i], radius=radius, q=q, parent=parents[i],
                depth=self.columns["depth"][parents[i, 0]] + 1,
            )  # fmt: skip
            some = Images(*(column[waiting] for column in images))
            found[waiting], share[waiting] = self._search([new], seen[waiting], some)
            waiting = waiting[1:][found[waiting[1:]] < 0]
        return found, share

    def _search(self, sets: list[int], seen: Any, images: Images) -> tuple[Any, Any]:
        """Which of these sets contains each image, or -1; and lambda."""
        if not sets:
            return np.full(len(seen), -1), np.zeros(len(seen))
        members = np.array(sets)
        balls = self.columns["seen"][members], self.columns["radius"][members]
        found, share = nearest_that_contain(seen, images, *balls)
        return np.where(found < 0, -1, members[found]), share

    def _add(self, **row: Any) -> int:
        new, self.count = self.count, self.count + 1
        for name, column in self.columns.items():
            if new == len(column):
                self.columns[name] = np.concatenate([column, np.full_like(column, -1)])
            if name in row:
                self.columns[name][new] = row[name]
        self.members[row["q"]].append(new)
        return new

    def _path(self, i: int) -> list[int]:
        """Inputs that led to this set when it was made."""
        inputs: list[int] = []
        while i:
            i, number = self.columns["parent"][i].tolist()
            inputs.append(number)
        return inputs[::-1]


def cover(
    network: Network,
    usual: float,
    limit: int,
    on_progress: Callable[[int], object] = lambda sets: None,
) -> Cover | Obstacle:
    """Sets that are closed under every input, or what stood in the way.

    Args:
        usual: the radius of sets that need not be larger.
        limit: give up beyond this many sets.
        on_progress: called with the number of sets found since the last call.
    """
    work = Worklist(network, usual)
    while work.followed < work.count * work.inputs:
        before = work.count
        work.follow()
        on_progress(work.count - before)
        if work.obstacle is not None:
            return work.obstacle
        if work.count > limit:
            return Obstacle(work.count, None)
    names = ("centre", "radius", "q", "next", "share")
    return Cover(*(work.columns[name][: work.count] for name in names))
