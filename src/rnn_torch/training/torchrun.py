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

#: Time limit of a collective call: at a sweep's end the processes wait for the slowest one.
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
            # The store keeps the keys from before a restart (pytorch issue 167288), so that each
            # restart needs a prefix of its own. On several machines the restart counts differ:
            # docs/reliability.md has the workaround.
            store = PrefixStore(f"restart-{restarts}", store)
        distributed.init_process_group(
            store=store, rank=self.rank, world_size=self.world, timeout=PATIENCE
        )

    def gather(self, mine: T) -> list[T]:
        """As `Processes.gather`; the values are pickled."""
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
    """The group of processes that torchrun started; without torchrun, this process alone."""
    return Torchrun() if distributed.is_torchelastic_launched() else Processes()
