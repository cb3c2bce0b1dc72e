"""A group of cooperating processes: those started by torchrun, or a single one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Processes:
    """A group of one process; `rnn_torch.training.torchrun.Torchrun` is one of several.

    Methods marked "all call it" must be called by all processes of the group, in the same order.
    """

    #: This process's number, 0 to world - 1.
    rank = 0
    world = 1
    #: Number of the group's processes on this machine.
    local_world = 1
    #: Whether this group replaces one that lost a process.
    restarted = False

    @staticmethod
    def leads() -> bool:
        """Whether this process prints and writes for all: it is alone, or torchrun's first."""
        return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0"

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of `rank`. All call it."""
        return [value]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process. All call it."""
        return flag

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """In this context a ValueError or OSError of one process is raised in all. All enter it.

        The code inside may call `gather` only while no process can have failed.
        """
        failure: ValueError | OSError | None = None
        try:
            yield
        except (ValueError, OSError) as error:
            failure = error
        for first in filter(None, self.gather(failure)):
            raise first

    def close(self) -> None:
        """Leave the group."""
