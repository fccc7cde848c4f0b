"""What has a process with all its children used of CPU and memory?"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import attrs

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# proc(5): the fields of /proc/PID/stat after the command's closing parenthesis
PARENT, USER, SYSTEM, ENDED_USER, ENDED_SYSTEM = 1, 11, 12, 13, 14


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its descendants, to a hundredth of a second."""
    stats = map(_stat, tree(pid))
    fields = (USER, SYSTEM, ENDED_USER, ENDED_SYSTEM)
    return sum(int(stat[field]) for stat in stats if stat for field in fields) / TICKS_PER_SECOND


@attrs.frozen(kw_only=True)
class Footprint:
    """What the process alone holds: memory that is resident, open file descriptors, threads."""

    resident_mib: float
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    """Of a process that runs; OSError when it has ended."""
    said = (PROC / str(pid) / "status").read_text()
    fields = dict(line.split(":", 1) for line in said.splitlines())
    return Footprint(
        resident_mib=int(fields["VmRSS"].split()[0]) / 1024,
        descriptors=len(list((PROC / str(pid) / "fd").iterdir())),
        threads=int(fields["Threads"]),
    )


def overrun(port: int) -> int:
    """How many datagrams the kernel has thrown away because their socket at this UDP port was full (IPv4)."""
    rows = [row.split() for row in (PROC / "net/udp").read_text().splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


def memory_mib(pid: int) -> float:
    """Memory of the process and its descendants, shared pages counted once (PSS)."""
    kib = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", (PROC / str(each) / "smaps_rollup").read_text(), re.MULTILINE)
            kib += int(found[1]) if found else 0
    return kib / 1024


def tree(root: int) -> list[int]:
    """The process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[PARENT]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
