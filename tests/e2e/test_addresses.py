"""Do whole calls go through over IPv6, and between the two families?"""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from sip.uri import Address, host_port, parse_uri
from tests.e2e.calls import Callers, Farm, check
from tests.e2e.proxy import Proxy
from tests.e2e.scenarios import KINDS
from tests.e2e.traffic import address_of, answer, line_of, request, udp, uri_of
from tests.peers.ports import free_port

pytestmark = pytest.mark.usefixtures("on_either_path")

IPV4, IPV6 = "127.0.0.10", "::1"


@pytest.mark.peers
def test_phones_and_servers_of_both_families_call_each_other_and_either_hangs_up(tmp_path: Path) -> None:
    """Every kind of call between every two families; where they differ there are two Record-Routes."""
    inner, outer = (IPV4, free_port(IPV4)), (IPV6, free_port(IPV6))
    listen = [f"udp:{inner[0]}:{inner[1]}", f"udp:[{outer[0]}]:{outer[1]}"]
    with Farm(tmp_path / "farm", ("127.0.0.21", IPV6)) as farm:
        list_text = farm.line(0) + farm.line(1)
        with Proxy(listen, list_text, directory=tmp_path / "proxy"), Callers(tmp_path / "callers") as callers:
            callers.start("six", KINDS, outer, address=IPV6, calls=10, rate=20)
            callers.start("four", KINDS, inner, address="127.0.0.31", calls=10, rate=20)
            count = callers.finish()
        for name in ("six", "four"):
            calls = check(farm, name, count // 2).values()
            assert {(call.kind, place) for call in calls for place in call.servers} == set(product(KINDS, (0, 1)))


def test_each_side_is_given_a_route_in_its_own_family(tmp_path: Path) -> None:
    """What a request inside the dialog does that is sent where its topmost Route says, from either end."""
    inner, outer = (IPV4, free_port(IPV4)), (IPV6, free_port(IPV6))
    listen = [f"udp:{inner[0]}:{inner[1]}", f"udp:[{outer[0]}]:{outer[1]}"]
    with (
        udp(IPV6) as phone,
        udp("127.0.0.21") as server,
        Proxy(listen, line_of(server), directory=tmp_path),
    ):
        invite = request(0, address_of(phone), "sip:bob@example.com", method="INVITE")
        phone.sendto(invite, outer)
        as_it_came, source = _next(server)
        assert source == inner
        routes = [line.partition(b": ")[2] for line in as_it_came.split(b"\r\n") if line.startswith(b"Record-Route: ")]
        assert [_address_in(route) for route in routes] == [inner, outer]
        server.sendto(answer(as_it_came).replace(b"sip:bob@example.com>", b"sip:bob@example.com>;tag=server"), source)
        accepted, source = _next(phone)
        assert source == outer

        bye = _within(accepted, uri_of(server), [*reversed(routes)], swapped=False, own=address_of(phone))
        phone.sendto(bye, _address_in(routes[-1]))
        came, source = _next(server)
        assert came.startswith(b"BYE ")
        assert source == inner
        assert b"\r\nRoute: " not in came

        bye = _within(accepted, uri_of(phone), routes, swapped=True, own=address_of(server))
        server.sendto(bye, _address_in(routes[0]))
        came, source = _next(phone)
        assert came.startswith(b"BYE ")
        assert source == outer
        assert b"\r\nRoute: " not in came


def _next(sock: socket.socket) -> tuple[bytes, Address]:
    """The next message that arrives."""
    assert select.select((sock,), (), (), 5.0)[0], "nothing came"
    raw, source = sock.recvfrom(65535)
    return raw, source[:2]


def _address_in(route: bytes) -> Address:
    uri = parse_uri(route.strip(b"<>"))
    assert uri.port is not None
    return uri.host, uri.port


def _within(accepted: bytes, uri: str, routes: Sequence[bytes], *, swapped: bool, own: Address) -> bytes:
    """A BYE of the dialog that a 200 has begun; `swapped` when the called end sends it."""
    fields = dict(line.partition(b": ")[::2] for line in accepted.split(b"\r\n")[1:])
    ends = fields[b"From"], fields[b"To"]
    caller, callee = reversed(ends) if swapped else ends
    lines = [
        f"BYE {uri} SIP/2.0".encode(),
        f"Via: SIP/2.0/UDP {host_port(own)};branch=z9hG4bK-bye".encode(),
        *(b"Route: " + route for route in routes),
        b"Max-Forwards: 70",
        b"From: " + caller,
        b"To: " + callee,
        b"Call-ID: " + fields[b"Call-ID"],
        b"CSeq: 2 BYE",
        b"Content-Length: 0",
    ]
    return b"\r\n".join((*lines, b"", b""))
