"""Which SIP messages crossed the edge, and when?  A tcpdump in the proxy's namespace, read while it runs."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Sequence
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
_COOKED, _ETHERNET = 16, 14
"""Bytes in front of the packet with `-i any` (LINKTYPE_LINUX_SLL), and with an interface's name."""
_SENDER = slice(6, 12)
"""Where the sender's hardware address is, in both of them."""
_IPV4 = b"\x08\x00"
_ICMP, _UDP = 1, 17
_PORT_UNREACHABLE = b"\x03\x03"  # RFC 792: type, code


@attrs.frozen
class Refusal:
    """A host's word (ICMP port unreachable) that nobody listens there."""

    source: str
    at: float


@attrs.frozen
class Crossing:
    """One datagram on its way into the proxy or out of it; `at` is the kernel's time (seconds since 1970).

    `hardware` is the address of the interface that it has left by.
    """

    source: Address
    target: Address
    raw: bytes
    at: float = 0.0
    hardware: bytes = b""

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
    """The capture in `host`, while the block is open.  `mark()` forgets what was before, for `crossings()`.

    `interface` is one of its Ethernet interfaces; without it all are captured.
    """

    def __init__(self, host: Namespace, directory: Path, *, interface: str | None = None) -> None:
        self._file = directory / "edge.pcap"
        self._marked = 0
        self._at = _FILE_HEADER
        self._crossings: list[Crossing] = []
        self.refusals: list[Refusal] = []
        self._link = _COOKED if interface is None else _ETHERNET
        where = ["any", "-y", "LINUX_SLL"] if interface is None else [interface]
        self._argv = [str(require("tcpdump")), "-i", *where, "-n", "-U", "--immediate-mode"]
        # With its own snapshot length the kernel's buffer has room for eight packets.
        self._argv += ["-s", "4096", "-B", "16384", "-Z", "root", "-w", str(self._file)]
        self._argv += [f"udp port {PORT} or icmp"]
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
        self._marked = len(self.all())

    def all(self) -> Sequence[Crossing]:
        """Every message so far, oldest first; the last may be written just now and counts from the next call on."""
        with self._file.open("rb") as file:
            file.seek(self._at)
            written = file.read()
        at = 0
        while at + _RECORD.size <= len(written):
            seconds, microseconds, kept, _ = _RECORD.unpack_from(written, at)
            end = at + _RECORD.size + kept
            if end > len(written):
                break
            found = _read(written[at + _RECORD.size : end], seconds + microseconds / 1e6, self._link)
            if isinstance(found, Crossing):
                self._crossings.append(found)
            elif found is not None:
                self.refusals.append(found)
            at = end
        self._at += at
        return self._crossings

    def dropped(self) -> int:
        """How many packets the kernel could not give to tcpdump; known when the block has been left."""
        said = re.search(r"(\d+) packets? dropped by kernel", self.program.output())
        assert said is not None, self.program.output()
        return int(said[1])

    def crossings(
        self, what: str | None = None, *, source: str | None = None, target: str | None = None
    ) -> list[Crossing]:
        """The messages since the mark, of one kind, from one address, to one address."""
        return [
            crossing
            for crossing in self.all()[self._marked :]
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


def _read(packet: bytes, at: float, link: int) -> Crossing | Refusal | None:
    """A captured packet; None for what is neither a refusal nor the beginning of an IPv4 UDP datagram with text."""
    ip = packet[link:]
    if packet[link - 2 : link] != _IPV4 or int.from_bytes(ip[6:8], "big") & 0x1FFF:
        return None
    inner = ip[(ip[0] & 0xF) * 4 :]
    if ip[9] == _ICMP:
        return Refusal(socket.inet_ntoa(ip[12:16]), at) if inner.startswith(_PORT_UNREACHABLE) else None
    raw = inner[8:]
    if ip[9] != _UDP or len(raw.strip()) == 0:  # a keepalive
        return None
    source, target = struct.unpack_from(">HH", inner)
    addresses = (socket.inet_ntoa(ip[12:16]), source), (socket.inet_ntoa(ip[16:20]), target)
    return Crossing(*addresses, raw, at, packet[_SENDER])


def _where(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
