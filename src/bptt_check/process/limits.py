"""Resource limits, and a process namespace, for the child that runs a contributor's file."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

#: Limits of the address space and of a written file, in bytes. torch reserves 4 GiB of address
#: space, most of which it never uses.
MOST_MEMORY, MOST_FILE = 16 << 30, 1 << 30

# linux/sched.h and linux/prctl.h
_NEW_USERS, _NEW_PROCESSES = 0x10000000, 0x20000000
_DIE_WITH_PARENT = 1


def limit() -> None:
    """Limit the resources of this process and of the processes it starts; not on Windows."""
    if resource is None:
        return
    for resource_type, wanted in {
        resource.RLIMIT_AS: MOST_MEMORY,
        resource.RLIMIT_FSIZE: MOST_FILE,
        resource.RLIMIT_CORE: 0,
    }.items():
        _, hard = resource.getrlimit(resource_type)
        bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError):  # macOS refuses one of memory
            resource.setrlimit(resource_type, (bound, bound))
    with suppress(OSError):  # if memory still runs out, Linux ends these processes first
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


def enclose() -> None:
    """Continue in a fork that sees only the processes it starts, in a PID namespace of Linux.

    It can signal no other process, and the kernel ends all of them with this process, which only
    waits. If the system does not allow a namespace, this function does nothing.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if libc.unshare(_NEW_PROCESSES) != 0 and not _unshare_with_users(libc):
        return
    if first := os.fork():
        os.waitpid(first, 0)
        os._exit(0)
    # The first process of a namespace: when it ends, the others are killed. It runs no foreign
    # code, since the kernel blocks most signals to it and it inherits orphaned processes.
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if second := os.fork():
        while os.wait()[0] != second:
            pass
        os._exit(0)


def _unshare_with_users(libc: ctypes.CDLL) -> bool:
    """The same in a user namespace, with the same user, for users without privileges."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_USERS | _NEW_PROCESSES) != 0:
        return False
    with suppress(OSError):
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", file).write_text(text, "ascii")
    return True
