"""What does systemd learn of this process?  sd_notify(3), without its library."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

import trio

KEEP_ALIVES: Final = 3
"""In the time after which systemd takes the process for hung."""


def tell(*lines: str, environ: Mapping[str, str] = os.environ) -> None:
    """Say lines such as `READY=1` or `STATUS=...`; nothing where no service manager listens, and never an error."""
    name = environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.settimeout(0)
        # An @ stands for the NUL in front of a name that is in no file system.
        telling.sendto("\n".join(" ".join(line.split()) for line in lines).encode(), name.replace("@", "\0", 1))


def watchdog_interval(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Seconds between two keep-alives, None when none are wanted of this process."""
    wanted, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or int(wanted) == 0 or whose not in ("", str(os.getpid() if pid is None else pid)):
        return None
    return int(wanted) / 1e6 / KEEP_ALIVES


async def keep_alive(environ: Mapping[str, str] = os.environ) -> None:
    """Say again and again that trio's loop turns, if somebody wants to know."""
    interval = watchdog_interval(environ)
    while interval is not None:
        tell("WATCHDOG=1", environ=environ)
        await trio.sleep(interval)
