"""A group of cooperating processes; `Alone` is a group of one."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Alone:
    """A group of one process; `rnn_torch.training.torchrun.Torchrun` is one of several.

    Each method is called by all processes of a group, in the same order.
    """

    #: This process's number, 0 to world - 1. Process 0 leads: it prints and writes for all.
    rank = 0
    world = 1
    #: Number of the group's processes on this machine.
    local_world = 1
    #: Whether this group replaces one that lost a process.
    restarted = False

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def together(self, make: Callable[[], T]) -> list[T]:
        """Call `make` in each process; returns all their results, in the order of `rank`.

        Raises:
            ValueError, OSError: in every process, if it was raised in one of them.
        """
        return [make()]

    def from_leader(self, make: Callable[[], T]) -> T | None:
        """Call `make` in the leader only; returns its result, or raises its error, everywhere."""
        return self.together(lambda: make() if self.leads else None)[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        return flag

    def leave(self) -> None:
        """Leave the group."""
