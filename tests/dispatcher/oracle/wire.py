"""What does each of two proxies send for the same datagram?

Both live in one network namespace in which every address is local, so that whatever they send stays there and is seen,
wherever it goes.  After each datagram both are asked for their state; since each takes its datagrams in order, what it
has sent before that answer is what it had to say.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from sip.uri import Address, host_port
from tests.peers.namespace import Namespace
from tests.peers.program import PeerError

MONITORS: tuple[Address, ...] = (("198.51.100.250", 5060), ("2001:db8:250::1", 5060))
"""Who asks for their state, by family; nobody in the corpus has these addresses."""

ETH_P_ALL = 3
PACKET_OUTGOING = 4  # linux/if_packet.h
SO_RCVBUFFORCE = 33
UDP = 17
CAPTURE_BYTES = 32 << 20
ANSWER_SECONDS = 10.0
SETTLED_SECONDS = 0.03
PATIENT_SECONDS = 0.15
LONG_TTL_S = 3600
MAX_LOOKUPS = 8
"""A datagram is sent again as long as somebody had to look a name up for it, at most so often."""


@attrs.frozen
class Sent:
    """A datagram as it left."""

    source: Address
    to: Address
    payload: bytes


class Wire:
    """The namespace's loopback, with sockets bound where the corpus has somebody, while the block is open.

    `names` are the host names that exist, each with its IPv4 address; `proxies` maps a label to a proxy's addresses.
    """

    def __init__(
        self,
        namespace: Namespace,
        proxies: Mapping[str, Sequence[Address]],
        *,
        present: Sequence[Address],
        names: Mapping[str, str],
    ) -> None:
        namespace.ip("route", "add", "local", "0.0.0.0/0", "dev", "lo")
        namespace.ip("-6", "route", "add", "local", "::/0", "dev", "lo")
        everyone = [*MONITORS, *present, *(address for addresses in proxies.values() for address in addresses)]
        for host in sorted({host for host, _ in everyone if ":" in host}):  # no bind(2) by the route alone
            namespace.ip("address", "add", f"{host}/128", "dev", "lo", "nodad")
        self._label = {address: label for label, addresses in proxies.items() for address in addresses}
        self._capture = namespace.open_socket(socket.SOCK_DGRAM, socket.AF_PACKET)
        self._capture.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, CAPTURE_BYTES)
        self._capture.bind(("lo", ETH_P_ALL))
        self._capture.settimeout(ANSWER_SECONDS)
        self._sockets = {address: namespace.udp(*address) for address in (*present, *MONITORS)}
        self._names = names
        self._nameservers = {(host, 53): namespace.udp(host, 53) for host in _nameservers()}
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for sock in (*self._sockets.values(), *self._nameservers.values(), self._capture):
            sock.close()

    def ask(
        self, source: Address, datagrams: Mapping[str, tuple[bytes, Address]], patient: Sequence[str] = ()
    ) -> dict[str, tuple[Sent, ...]]:
        """What each proxy sends when `source` sends it its datagram, by label.

        Names that a proxy has to look up first are asked for beforehand: a first try warms its memory.  Those in
        `patient` may go on with other datagrams while they look a name up: their silence is believed late.
        """
        for _ in range(MAX_LOOKUPS):
            sent, looked_up = self._exchange(source, datagrams)
            if not looked_up and not all(sent[label] for label in patient):
                looked_up = self._settle(PATIENT_SECONDS)
            if not looked_up:
                return sent
        raise PeerError(f"looks names up again and again: {datagrams}")

    def _exchange(
        self, source: Address, datagrams: Mapping[str, tuple[bytes, Address]]
    ) -> tuple[dict[str, tuple[Sent, ...]], bool]:
        marks: dict[str, bytes] = {}
        for label, (payload, to) in datagrams.items():
            self._sockets[source].sendto(payload, to)
            marks[label] = self._mark(to)
        sent: dict[str, list[Sent]] = {label: [] for label in datagrams}
        looped: set[str] = set()
        looked_up = False
        while marks:
            one = self._next()
            if one is None:
                raise PeerError(f"no answer to OPTIONS within {ANSWER_SECONDS:g} s: {', '.join(marks)}")
            looked_up = looked_up or one.to in self._nameservers
            if one.source not in self._label:
                continue
            label = self._label[one.source]
            if one.to in MONITORS:
                if marks.get(label, b"\n") in one.payload:
                    del marks[label]
                    if label in looped:  # what it has sent to itself came in behind the mark
                        looped.remove(label)
                        marks[label] = self._mark(datagrams[label][1])
            elif self._label.get(one.to) == label:
                looped.add(label)
            else:
                sent[label].append(one)
        if looked_up:
            self._settle(SETTLED_SECONDS)
        return {label: tuple(each) for label, each in sent.items()}, looked_up

    def _mark(self, to: Address) -> bytes:
        """Ask a listener for the state of its proxy; what the answer will carry."""
        self._asked += 1
        mark = b"mark-%d@" % self._asked
        monitor = MONITORS[":" in to[0]]
        self._sockets[monitor].sendto(_options(monitor, to, mark), to)
        return mark

    def _settle(self, seconds: float) -> bool:
        """Wait until nothing has been sent for a while, names are known then and what hung on them has left.

        Whether anything was sent.
        """
        self._capture.settimeout(seconds)
        anything = False
        while self._next() is not None:
            anything = True
            self._capture.settimeout(SETTLED_SECONDS)
        self._capture.settimeout(ANSWER_SECONDS)
        return anything

    def _next(self) -> Sent | None:
        """The next datagram that anybody sends; None when the time is over.  Questions for names are answered."""
        while True:
            try:
                packet, (_, _, direction, *_) = self._capture.recvfrom(65536)
            except TimeoutError:
                return None
            found = _udp(packet) if direction == PACKET_OUTGOING else None
            if found is None:
                continue
            server = self._nameservers.get(found.to)
            if server is not None:
                server.sendto(_answer_name(found.payload, self._names), found.source)
            return found


def _answer_name(wire: bytes, names: Mapping[str, str]) -> bytes:
    query = dns.message.from_wire(wire)
    answer = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    address = names.get(question.name.to_text(omit_final_dot=True).lower())
    if address is None:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    elif question.rdtype == dns.rdatatype.A:
        answer.answer.append(dns.rrset.from_text(question.name, LONG_TTL_S, "IN", "A", address))
    if not answer.answer:
        soa = f"ns.example. admin.example. 1 3600 600 86400 {LONG_TTL_S}"
        answer.authority.append(dns.rrset.from_text(question.name, LONG_TTL_S, "IN", "SOA", soa))
    return answer.to_wire()


def _nameservers() -> list[str]:
    """Whom both proxies ask, by the machine's configuration (resolv.conf(5))."""
    lines = Path("/etc/resolv.conf").read_text().splitlines() if Path("/etc/resolv.conf").exists() else []
    found = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return [address for address in found if "%" not in address] or ["127.0.0.1"]


def _options(source: Address, to: Address, mark: bytes) -> bytes:
    return b"\r\n".join(
        (
            b"OPTIONS sip:%b SIP/2.0" % host_port(to).encode(),
            b"Via: SIP/2.0/UDP %b;branch=z9hG4bK%b" % (host_port(source).encode(), mark[:-1]),
            b"Max-Forwards: 70",
            b"From: <sip:monitor@example.com>;tag=m",
            b"To: <sip:proxy@example.com>",
            b"Call-ID: " + mark,
            b"CSeq: 1 OPTIONS",
            b"Content-Length: 0",
            b"",
            b"",
        )
    )


def _udp(packet: bytes) -> Sent | None:
    """The UDP datagram in an IP packet; loopback fragments nothing."""
    if packet[0] >> 4 == 4:
        at, protocol, hosts = (packet[0] & 15) * 4, packet[9], (packet[12:16], packet[16:20])
    else:
        at, protocol, hosts = 40, packet[6], (packet[8:24], packet[24:40])
    if protocol != UDP:
        return None
    source, to, length = struct.unpack_from("!HHH", packet, at)
    one, other = (str(ipaddress.ip_address(host)) for host in hosts)
    return Sent((one, source), (other, to), packet[at + 8 : at + length])
