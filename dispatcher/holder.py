"""Which process already holds a UDP port of this node?"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import attrs

from sip.uri import Address

PROC = Path("/proc")


@attrs.frozen
class Holder:
    """Who has a socket.  Without the right to look into other users' processes only the user id is known."""

    uid: int
    pid: int | None = None
    command: str | None = None

    def __str__(self) -> str:
        if self.pid is None:
            return f"a process of user id {self.uid}"
        return f"{self.command or 'process'} (pid {self.pid})"


def udp_holder(address: Address, *, proc: Path = PROC) -> Holder | None:
    """The holder of a UDP socket that keeps `address` from being bound, itself or by a wildcard; None if not found.

    Never raises: it serves an error message.
    """
    for uid, inode in _matching(address, proc):
        pid = _owner(inode, proc)
        return Holder(uid) if pid is None else Holder(uid, pid, command_of(pid, proc=proc))
    return None


def command_of(pid: int, *, proc: Path = PROC) -> str | None:
    """The short name of a process, None when it is gone or not visible."""
    try:
        return (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _matching(address: Address, proc: Path) -> Iterator[tuple[int, int]]:
    """(uid, inode) of each socket in the way, from /proc/net/udp and udp6 (proc(5))."""
    host = ip_address(address[0].partition("%")[0])
    # A wildcard is in the way of every address, and every address is in the way of a wildcard.
    for name in ("udp", "udp6"):
        try:
            lines = (proc / "net" / name).read_text(encoding="ascii", errors="replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, _, port = fields[1].partition(":")
            if int(port, 16) == address[1]:
                bound = _unpack_host(local)
                if bound == host or bound.is_unspecified or (host.is_unspecified and bound.version == host.version):
                    yield int(fields[7]), int(fields[9])


def _unpack_host(text: str) -> IPv4Address | IPv6Address:
    """An address as /proc/net prints it: 32-bit words of the machine's byte order, in hexadecimal."""
    packed = b"".join(struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _owner(inode: int, proc: Path) -> int | None:
    """The process that has the socket open, as far as we may look."""
    wanted = f"socket:[{inode}]"
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            try:
                if any(str(fd.readlink()) == wanted for fd in (folder / "fd").iterdir()):
                    return int(folder.name)
            except OSError:  # gone, or another user's
                continue
    return None
