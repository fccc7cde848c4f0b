"""A small name server on loopback, UDP and TCP on one port, that can also be silent, broken or brief."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import trio
import trio.socket

from sip.uri import Address

SOA = "ns.example. admin.example. 1 3600 600 86400 "


@attrs.define
class DnsServer:
    """What it answers: `zone` maps (name, type) to (TTL, records); a name without any entry is NXDOMAIN.

    Names in `silent` get no answer, in `broken` SERVFAIL; each may be a name or (name, type).  Longer answers than
    `udp_records` records are cut short over UDP.  `denial_ttl_s` is that of "no such name".  `asked` is what came.
    """

    address: Address = ("", 0)
    zone: dict[tuple[str, str], tuple[int, list[str]]] = attrs.field(factory=dict)
    silent: set[str | tuple[str, str]] = attrs.field(factory=set)
    broken: set[str | tuple[str, str]] = attrs.field(factory=set)
    mute: bool = False
    udp_records: int = 8
    denial_ttl_s: int = 60
    asked: list[tuple[str, str, str]] = attrs.field(factory=list)

    def add(self, name: str, kind: str, *records: str, ttl_s: int = 60) -> None:
        self.zone[name, kind] = (ttl_s, list(records))

    def remove(self, name: str) -> None:
        self.zone = {key: value for key, value in self.zone.items() if key[0] != name}

    def names_asked(self) -> list[str]:
        """Each question once, in the order they came, and forget them."""
        asked = list(dict.fromkeys(f"{name} {kind}" for name, kind, _ in self.asked))
        self.asked.clear()
        return asked

    def answer(self, wire: bytes, over: str) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, over))
        if self.mute or self.silent & {name, (name, kind)}:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self.broken & {name, (name, kind)}:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        self._fill(response, name, kind)
        if over == "udp" and sum(len(rrset) for rrset in response.answer) > self.udp_records:
            response.answer.clear()
            response.flags |= dns.flags.TC
        return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(8):
            alias = self.zone.get((name, "CNAME"))
            if alias is None:
                break
            response.answer.append(_rrset(name, "CNAME", alias))
            name = alias[1][0].rstrip(".")
        found = self.zone.get((name, kind))
        if found is not None:
            response.answer.append(_rrset(name, kind, found))
            return
        if not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        response.authority.append(_rrset("example", "SOA", (self.denial_ttl_s, [SOA + str(self.denial_ttl_s)])))


def _rrset(name: str, kind: str, found: tuple[int, list[str]]) -> dns.rrset.RRset:
    ttl_s, records = found
    return dns.rrset.from_text_list(
        dns.name.from_text(name), ttl_s, dns.rdataclass.IN, dns.rdatatype.from_text(kind), records
    )


async def _one_port() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """A UDP and a TCP socket on one free port."""
    while True:
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        tcp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_STREAM)
        try:
            await udp.bind(("127.0.0.1", 0))
            await tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
        else:
            return udp, tcp


@asynccontextmanager
async def serving() -> AsyncIterator[DnsServer]:
    """Start a server on an ephemeral port of 127.0.0.1."""
    udp, tcp = await _one_port()
    with udp, tcp:
        tcp.listen()
        server = DnsServer(address=udp.getsockname())

        async def serve_udp() -> None:
            while True:
                wire, source = await udp.recvfrom(4096)
                answer = server.answer(wire, "udp")
                if answer is not None:
                    await udp.sendto(answer, source)

        async def serve_tcp(stream: trio.SocketStream) -> None:
            async with stream:
                received = b""
                async for chunk in stream:
                    received += chunk
                    while len(received) >= 2 and len(received) >= 2 + struct.unpack("!H", received[:2])[0]:
                        length = struct.unpack("!H", received[:2])[0]
                        answer = server.answer(received[2 : 2 + length], "tcp")
                        received = received[2 + length :]
                        if answer is not None:
                            await stream.send_all(struct.pack("!H", len(answer)) + answer)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_udp)
            nursery.start_soon(trio.serve_listeners, serve_tcp, [trio.SocketListener(tcp)])
            yield server
            nursery.cancel_scope.cancel()
