"""What torchrun does, without restarts: `python forked_ranks.py 1,2,4 MODULE FLAGS`.

For each count in turn that many processes run the module's `main`. torch is imported once and the
processes are forked from there: most of the time of a torchrun goes into its imports.
"""

import importlib
import os
import socket
import sys
from collections.abc import Callable

import torch._dynamo  # DistributedDataParallel imports it

MASTER = "localhost"


def run(processes: int, main: Callable[[list[str]], int], flags: list[str]) -> int:
    """The highest exit code of these processes."""
    with socket.create_server((MASTER, 0)) as server:
        port = server.getsockname()[1]
    children = [os.fork() or _rank(rank, processes, port, main, flags) for rank in range(processes)]
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


def _rank(
    rank: int, processes: int, port: int, main: Callable[[list[str]], int], flags: list[str]
) -> int:
    """In the child, which ends here."""
    code = 1
    try:
        os.environ.update(
            MASTER_ADDR=MASTER, MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank),
            WORLD_SIZE=str(processes), LOCAL_WORLD_SIZE=str(processes),
            TORCHELASTIC_RUN_ID="forked", TORCHELASTIC_RESTART_COUNT="0",
            TORCHELASTIC_USE_AGENT_STORE="False",
        )  # fmt: skip
        code = main(flags)
    except SystemExit as ended:
        code = int(str(ended.code))
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    torch.set_num_threads(1)
    counts, module, *rest = sys.argv[1:]
    main = importlib.import_module(module).main
    sys.exit(max(run(int(count), main, rest) for count in counts.split(",")))
