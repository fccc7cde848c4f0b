"""Does the process take what it may of real time, and say what it may not?

What really takes something runs in a process of its own: a schedule and a lock would stay.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.need import require_root
from vrrp import realtime

ROOT = Path(__file__).parents[2]


def said(script: str, *before: str) -> str:
    """What a script prints, run by the command in front."""
    done = subprocess.run(
        [*before, sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


TAKE = "from vrrp import realtime; print(realtime.take())"
WITHOUT = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534", "--regid", "65534")


@pytest.fixture(autouse=True)
def _root() -> None:
    require_root("a real-time schedule")


def test_who_may_gets_both() -> None:
    assert said(TAKE) == "SCHED_RR 50, memory locked"


def test_children_and_threads_do_not_inherit_the_schedule() -> None:
    script = (
        "import os, subprocess, threading\n"
        "from vrrp import realtime\n"
        "realtime.take()\n"
        "policies = [os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK]\n"
        "one = threading.Thread(target=lambda: policies.append(os.sched_getscheduler(0)))\n"
        "one.start(); one.join()\n"
        "child = subprocess.run(['chrt', '-p', '0'], capture_output=True, text=True)\n"
        "print(policies == [os.SCHED_RR, os.SCHED_OTHER], 'SCHED_OTHER' in child.stdout)"
    )
    assert said(script) == "True True"


def test_a_schedule_of_the_unit_is_kept() -> None:
    assert said(TAKE, "chrt", "--fifo", "7").startswith("SCHED_FIFO 7, ")
    assert said(TAKE, "chrt", "--rr", "--reset-on-fork", "9").startswith("SCHED_RR 9, ")


def test_a_schedule_of_a_unit_that_forbids_the_call_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_RR)
    monkeypatch.setattr(os, "sched_getparam", lambda _: os.sched_param(50))
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert realtime.take_schedule() == "SCHED_RR 50"


def test_who_may_not_is_told_what_it_needs() -> None:
    text = said(TAKE, "prlimit", "--rtprio=0", "--memlock=65536", *WITHOUT, "--clear-groups")
    assert text == (
        "no real-time schedule: operation not permitted, it needs LimitRTPRIO= or CAP_SYS_NICE,"
        " memory not locked: cannot allocate memory, it needs LimitMEMLOCK=infinity"
    )


class Libc:
    """Notes what is to be locked; the lock itself would stay."""

    def __init__(self, error: int = 0) -> None:
        self.flags = 0
        self._error = error

    def mlockall(self, flags: int) -> int:
        self.flags = flags
        ctypes.set_errno(self._error)
        return -1 if self._error else 0


@pytest.mark.parametrize(
    ("limit", "capabilities", "flags", "said"),
    [
        (1 << 32, 0, 5, "memory of the start locked"),
        (1 << 32, 1 << 14, 7, "memory locked"),
        (resource.RLIM_INFINITY, 0, 7, "memory locked"),
    ],
)
def test_under_a_limit_only_what_is_there_is_locked(
    monkeypatch: pytest.MonkeyPatch, limit: int, capabilities: int, flags: int, said: str
) -> None:
    libc = Libc()
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(realtime, "_capabilities", lambda: capabilities)
    assert realtime.lock_memory() == said
    assert libc.flags == flags


def test_a_kernel_that_knows_no_locks_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc(errno.ENOSYS))
    assert realtime.lock_memory() == "memory not locked: function not implemented"


def test_capabilities_are_read_where_they_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status = tmp_path / "status"
    monkeypatch.setattr(realtime, "Path", lambda _: status)
    status.write_text("Name:\tx\nCapEff:\t0000000000004000\n")
    assert realtime._capabilities() == 1 << 14
    status.write_text("Name:\tx\n")
    assert realtime._capabilities() == 0
