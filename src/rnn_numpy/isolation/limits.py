"""What a contributor's file may take, and what ends with it: limits, a namespace of processes."""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

#: Address space, and a file that it writes. torch itself needs 4 GiB of the first, most of it
#: never touched.
MOST_MEMORY, MOST_FILE = 16 << 30, 1 << 30

# linux/sched.h and linux/prctl.h
_NEW_USERS, _NEW_PROCESSES = 0x10000000, 0x20000000
_DIE_WITH_PARENT = 1


def limit() -> None:
    """Limit what this process and all it starts may take."""
    for what, most in {
        resource.RLIMIT_AS: MOST_MEMORY,
        resource.RLIMIT_FSIZE: MOST_FILE,
        resource.RLIMIT_CORE: 0,
    }.items():
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))
    with suppress(OSError):  # where memory runs out all the same, these end first (Linux)
        Path("/proc/self/oom_score_adj").write_text("1000")


def enclose() -> None:
    """Go on in a fork that sees no other process than those it starts itself, where Linux allows.

    So it can signal no other, and all of them end with this process, which only waits: the kernel
    sees to that, whatever they have done to get away. Elsewhere nothing happens.
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
    # The first process of a namespace: when it ends, all others there are killed. It stays apart,
    # since the kernel spares it most signals, and it inherits those that lose their parent.
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if second := os.fork():
        while os.wait()[0] != second:
            pass
        os._exit(0)


def _unshare_with_users(libc: ctypes.CDLL) -> bool:
    """What an ordinary user may do: the same in a namespace of users, as the same user."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_USERS | _NEW_PROCESSES) != 0:
        return False
    with suppress(OSError):
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", file).write_text(text)
    return True
