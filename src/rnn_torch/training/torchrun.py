"""The group of processes under torchrun, over torch.distributed: gloo on CPUs, nccl on GPUs."""

import gc
import os
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from rnn_numpy.training.processes import Processes

T = TypeVar("T")

#: Time limit for a process that the others wait for, such as at a sweep's end.
PATIENCE = timedelta(days=365)


class Torchrun(Processes):
    """One of several processes; see `Processes`."""

    def __init__(self) -> None:
        local_rank = int(os.environ["LOCAL_RANK"])
        if torch.cuda.is_available():
            torch.cuda.set_device(local_rank % torch.cuda.device_count())
        self.rank, self.world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.local_world = int(os.environ["LOCAL_WORLD_SIZE"])
        restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        self.restarted = restarts > 0
        store: Store = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            self.world,
            is_master=self.rank == 0 and os.environ["TORCHELASTIC_USE_AGENT_STORE"] != "True",
            multi_tenant=True,
        )
        if self.world == self.local_world:
            # What the processes before a restart wrote is still there (pytorch issue 167288). On
            # several machines the counts differ: docs/reliability.md says what helps there.
            store = PrefixStore(f"restart-{restarts}", store)
        distributed.init_process_group(
            store=store, rank=self.rank, world_size=self.world, timeout=PATIENCE
        )

    def gather(self, mine: T) -> list[T]:
        """As `Processes.gather`; values travel as pickles, between these processes only."""
        everyone: list[Any] = [None] * self.world
        distributed.all_gather_object(everyone, mine)
        return everyone

    def any(self, flag: bool) -> bool:
        """As `Processes.any`."""
        flags = torch.tensor(int(flag))
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags)

    def close(self) -> None:
        """As `Processes.close`."""
        # DistributedDataParallel keeps the group's threads alive: collect it before the
        # interpreter ends.
        gc.collect()
        distributed.destroy_process_group()


def join() -> Processes:
    """The group that torchrun started this process in, or this process alone."""
    return Torchrun() if distributed.is_torchelastic_launched() else Processes()
