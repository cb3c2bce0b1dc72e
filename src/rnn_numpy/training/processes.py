"""The processes that work on one thing together; here: this one alone."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Alone:
    """A group of one process; `rnn_torch.training.torchrun.Torchrun` is one of several.

    Each method is called by all processes of a group, in the same order.
    """

    #: Which of the `world` processes this is. The first, 0, speaks and writes for all.
    rank = 0
    world = 1
    #: How many processes of the group are on this machine.
    local_world = 1
    #: Whether this group takes the place of one that lost a process.
    restarted = False

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def together(self, make: Callable[[], T]) -> list[T]:
        """What `make` returns in each process, told to all.

        Raises:
            ValueError, OSError: in every process, if it was raised in one of them.
        """
        return [make()]

    def from_leader(self, make: Callable[[], T]) -> T | None:
        """What `make` returns in the first process, the only one to call it; errors likewise."""
        return self.together(lambda: make() if self.leads else None)[0]

    def any(self, flag: bool) -> bool:
        """Whether one process at least has said so."""
        return flag

    def leave(self) -> None:
        """The end of the work together."""
