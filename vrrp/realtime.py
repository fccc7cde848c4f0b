"""Does this process run when its timers are due, whatever else the node does?

A real-time schedule lets it run before all ordinary work, locked memory keeps it from waiting for a disk, and a frozen
heap from long collections.  Whatever is not permitted is said and done without: the machine steps down by itself when
it was late.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import resource
from pathlib import Path

PRIORITY = 50
"""Above ordinary work, below the kernel's own threads for interrupts."""

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14
_ALREADY = {os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}


def take() -> str:
    """Take what is permitted; says what it got, and of the rest why not.  Call it when all imports are done."""
    gc.collect()
    gc.freeze()
    return f"{take_schedule()}, {lock_memory()}"


def take_schedule(priority: int = PRIORITY) -> str:
    """SCHED_RR, unless a unit has given a real-time schedule; never for children and threads, which may be hooks."""
    policy = os.sched_getscheduler(0)
    known = policy & ~os.SCHED_RESET_ON_FORK
    if known in _ALREADY:
        given = os.sched_getparam(0)
        if not policy & os.SCHED_RESET_ON_FORK:  # a unit that has set it may have forbidden the call
            with contextlib.suppress(OSError):  # so may one that has not: what was given is better than no agent
                os.sched_setscheduler(0, known | os.SCHED_RESET_ON_FORK, given)
        return f"{_ALREADY[known]} {given.sched_priority}"
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return f"no real-time schedule: {_reason(error, 'LimitRTPRIO= or CAP_SYS_NICE')}"
    return f"SCHED_RR {priority}"


def lock_memory() -> str:
    """Keep in memory what was used once, what comes later too where no limit stands in the way.

    Under a limit the later memory is not locked: it would not be given beyond it, and the process would end.
    """
    flags = _MCL_CURRENT | _MCL_ONFAULT
    if _is_unlimited():
        flags |= _MCL_FUTURE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(flags) == 0:
        return "memory locked" if flags & _MCL_FUTURE else "memory of the start locked"
    error = ctypes.get_errno()
    return f"memory not locked: {_reason(OSError(error, os.strerror(error)), 'LimitMEMLOCK=infinity')}"


def _is_unlimited() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    return bool(_capabilities() >> _CAP_IPC_LOCK & 1)


def _capabilities() -> int:
    """The effective ones (proc(5))."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _reason(error: OSError, wanted: str) -> str:
    if error.errno in (errno.EPERM, errno.ENOMEM):
        return f"{(error.strerror or '').lower()}, it needs {wanted}"
    return (error.strerror or str(error)).lower()
