"""How is a running process, with its children, held to a part of its CPU?

By a control group, or where none can be made, by stopping it again and again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.processes import tree

PERIOD_US = 10_000
"""Short, so that what waits for the next one finds room in a socket."""
CGROUPS = Path("/sys/fs/cgroup")
PROCESSES = "cgroup.procs"
BY_STOPPING = "SIGSTOP and SIGCONT"


@contextlib.contextmanager
def held(pid: int, part: float) -> Iterator[str]:
    """The process and its children, all together, run for this part of the time at most; yields how that is done."""
    quota_us = round(part * PERIOD_US)
    v1 = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota_us)}
    v2 = {"cpu.max": f"{quota_us} {PERIOD_US}"}
    # v1 has a tree for each controller, v2 one for all
    for above, limits, name in ((CGROUPS / "cpu", v1, "cgroup v1 cpu quota"), (CGROUPS, v2, "cgroup v2 cpu.max")):
        with contextlib.ExitStack() as opened:
            try:
                opened.enter_context(_in_group(pid, above / f"sipdispatch-bench-{os.getpid()}", limits))
            except OSError:
                continue
            yield f"{name}, {quota_us} of each {PERIOD_US} us"
            return
    with _stopping(pid, part):
        yield f"{BY_STOPPING}, {quota_us} of each {PERIOD_US} us"


@contextlib.contextmanager
def _in_group(pid: int, group: Path, limits: dict[str, str]) -> Iterator[None]:
    """OSError when this machine lets nobody make such a group, or us put nothing into it."""
    group.mkdir()
    try:
        for name, value in limits.items():
            _write(group / name, value)
        for each in tree(pid):
            _write(group / PROCESSES, str(each))
        yield
    finally:
        for inside in _inside(group):
            with contextlib.suppress(OSError):  # it has ended
                _write(group.parent / PROCESSES, inside)
        group.rmdir()


def _inside(group: Path) -> list[str]:
    """The processes of a group; none where there is no such controller."""
    try:
        return (group / PROCESSES).read_text().split()
    except OSError:
        return []


def _write(file: Path, value: str) -> None:
    with file.open("r+") as opened:  # it is there, or there is no such controller
        opened.write(value)


@contextlib.contextmanager
def _stopping(pid: int, part: float) -> Iterator[None]:
    over = threading.Event()
    held_ones = tree(pid)

    def tell_all(what: signal.Signals) -> None:
        for each in held_ones:
            with contextlib.suppress(ProcessLookupError):  # one that has ended leaves no other stopped
                os.kill(each, what)

    def stop_and_go() -> None:
        while not over.wait(part * PERIOD_US / 1e6):
            tell_all(signal.SIGSTOP)
            over.wait((1 - part) * PERIOD_US / 1e6)
            tell_all(signal.SIGCONT)

    thread = threading.Thread(target=stop_and_go, name="held")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
