"""Which SIP messages crossed the edge, and in which order?  A tcpdump in the proxy's namespace, read while it runs."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import attrs

from sip.uri import Address
from tests.peers.namespace import Namespace
from tests.peers.need import require
from tests.peers.program import Program

PORT = 5060
_FILE_HEADER = 24
_RECORD = struct.Struct("<4I")
"""Of a packet in the file: seconds, microseconds, bytes kept, bytes on the wire."""
_COOKED = 16
"""Bytes in front of the packet with `-i any` (LINKTYPE_LINUX_SLL)."""
_IPV4 = b"\x08\x00"


@attrs.frozen
class Crossing:
    """One datagram on its way into the proxy or out of it."""

    source: Address
    target: Address
    raw: bytes

    @property
    def first_line(self) -> str:
        """The request line or the status line."""
        return self.raw.partition(b"\r\n")[0].decode(errors="replace")

    @property
    def what(self) -> str:
        """A request's method (`INVITE`); for an answer its code and the method that it answers (`401 REGISTER`)."""
        word, _, rest = self.first_line.partition(" ")
        return f"{rest[:3]} {self.header('CSeq').split()[-1]}" if word == "SIP/2.0" else word

    def headers(self, name: str) -> list[str]:
        """The values of the lines of a header."""
        head = self.raw.partition(b"\r\n\r\n")[0].decode(errors="replace")
        return [value.strip() for value in re.findall(rf"(?im)^{name}[ \t]*:(.*)$", head)]

    def header(self, name: str) -> str:
        """The value of the first line of a header; empty without one."""
        return next(iter(self.headers(name)), "")

    def has_user(self, user: str) -> bool:
        """Whether it is from or to a user."""
        return any(f"sip:{user}@" in self.header(name) for name in ("From", "To"))


class Ladder:
    """The capture in `host`, while the block is open.  `mark()` forgets what was before, for `crossings()`."""

    def __init__(self, host: Namespace, directory: Path) -> None:
        self._file = directory / "edge.pcap"
        self._marked = 0
        self._argv = [str(require("tcpdump")), "-i", "any", "-y", "LINUX_SLL", "-n", "-U", "--immediate-mode"]
        # With its own snapshot length the kernel's buffer has room for eight packets.
        self._argv += ["-s", "4096", "-B", "16384", "-Z", "root", "-w", str(self._file), "udp", "port", str(PORT)]
        self._host, self._log = host, directory / "tcpdump.out"

    def __enter__(self) -> Self:
        self.program = Program(self._argv, log=self._log, namespace=self._host)
        try:
            self.program.until(lambda: "listening on" in self.program.output(), "tcpdump listens")
        except BaseException:
            self.program.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    def mark(self) -> None:
        """Begin anew."""
        self._marked = len(list(self.all()))

    def all(self) -> Iterator[Crossing]:
        """Every message so far, oldest first; the last may be written just now and counts from the next call on."""
        file = self._file.read_bytes()
        at = _FILE_HEADER
        while at + _RECORD.size <= len(file):
            _, _, kept, _ = _RECORD.unpack_from(file, at)
            packet = file[at + _RECORD.size : at + _RECORD.size + kept]
            at += _RECORD.size + kept
            if at > len(file):
                return
            crossing = _read(packet)
            if crossing is not None:
                yield crossing

    def crossings(
        self, what: str | None = None, *, source: str | None = None, target: str | None = None
    ) -> list[Crossing]:
        """The messages since the mark, of one kind, from one address, to one address."""
        return [
            crossing
            for crossing in list(self.all())[self._marked :]
            if what in (None, crossing.what)
            and source in (None, crossing.source[0])
            and target in (None, crossing.target[0])
        ]

    def until(self, found: Callable[[], bool], what: str, *, seconds: float = 10.0) -> None:
        """Wait until the messages say so."""
        self.program.until(found, what, seconds=seconds)

    def text(self) -> str:
        """The messages since the mark: a line for each, then each whole."""
        crossings = self.crossings()
        lines = [f"{_where(one.source)} -> {_where(one.target)}  {one.first_line}\n" for one in crossings]
        whole = [f"\n{line}{one.raw.decode(errors='replace')}" for line, one in zip(lines, crossings, strict=True)]
        return "".join(lines + whole)


def _read(packet: bytes) -> Crossing | None:
    """A captured packet; None for anything but the beginning of an IPv4 UDP datagram with text in it."""
    ip = packet[_COOKED:]
    if packet[_COOKED - 2 : _COOKED] != _IPV4 or int.from_bytes(ip[6:8], "big") & 0x1FFF:
        return None
    udp = ip[(ip[0] & 0xF) * 4 :]
    source, target = struct.unpack_from(">HH", udp)
    raw = udp[8:]
    if len(raw.strip()) == 0:
        return None  # a keepalive
    return Crossing((socket.inet_ntoa(ip[12:16]), source), (socket.inet_ntoa(ip[16:20]), target), raw)


def _where(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
