"""What are the two hosts on one wire, what does the kernel of one say, and what arrives there?"""

from __future__ import annotations

import json
from typing import Any

import attrs
import trio

from tests.peers.namespace import Namespace
from vrrp.datagram import Datagram
from vrrp.lastingwire import LastingWire
from vrrp.link import (
    AdvertSocket,
)

A, B = "192.0.2.11", "192.0.2.12"
A6, B6 = "fe80::11", "fe80::12"
PATIENCE_SECONDS = 10.0


@attrs.frozen
class Pair:
    a: Namespace
    b: Namespace


def known(host: Namespace, address: str) -> dict[str, Any] | None:
    """What the kernel of a host says of an address."""
    links = json.loads(host.run("ip", "-json", "address", "show"))
    found = [each for link in links for each in link["addr_info"] if each.get("local") == address]
    return found[0] if found else None


async def next_of(wire: AdvertSocket | LastingWire) -> Datagram:
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            await wire.wait()
            for datagram in wire.receive():
                return datagram
