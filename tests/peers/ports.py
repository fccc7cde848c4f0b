"""Which ports are free for a test, and is somebody listening there yet?"""

from __future__ import annotations

import os
import socket
from pathlib import Path

# Four digits, because sipsak cuts longer ones; below the kernel's ephemeral range, so that no outgoing socket takes
# one between the choice and the use.
FIRST, LAST = 6000, 9999
STEP = 7  # processes that run side by side begin far apart and walk without meeting soon

_given: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody uses on `host`, for UDP and for TCP; never given twice by this process, never 5060."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    span = LAST - FIRST + 1
    for step in range(span):
        port = FIRST + (os.getpid() * 97 + step * STEP) % span
        if port not in _given and _can_bind(family, host, port):
            _given.add(port)
            return port
    message = f"no free port on {host} between {FIRST} and {LAST}"
    raise OSError(message)


def _can_bind(family: socket.AddressFamily, host: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def is_bound(host: str, port: int, *, pid: int | str = "self", protocol: str = "udp") -> bool:
    """Whether a socket is bound to the address in the network namespace of process `pid`, by the kernel's own table."""
    ipv6 = ":" in host
    packed = socket.inet_pton(socket.AF_INET6 if ipv6 else socket.AF_INET, host)
    # The table prints each 32-bit word of the address in the machine's byte order.
    words = (packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4))
    wanted = f"{''.join(words)}:{port:04X}"
    table = Path(f"/proc/{pid}/net/{protocol}{'6' if ipv6 else ''}")
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return False
    return any(row.split()[1] == wanted for row in rows)
