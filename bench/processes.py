"""What has a process with all its children used of CPU and memory?"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# proc(5): the fields of /proc/PID/stat after the command's closing parenthesis
PARENT, USER, SYSTEM = 1, 11, 12


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its living descendants, to a hundredth of a second."""
    stats = map(_stat, _tree(pid))
    return sum(int(stat[USER]) + int(stat[SYSTEM]) for stat in stats if stat) / TICKS_PER_SECOND


def memory_mib(pid: int) -> float:
    """Memory of the process and its descendants, shared pages counted once (PSS)."""
    kib = 0
    for each in _tree(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+)", (PROC / str(each) / "smaps_rollup").read_text(), re.MULTILINE)
            kib += int(found[1]) if found else 0
    return kib / 1024


def _tree(root: int) -> list[int]:
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
