"""What is a line of the dispatcher list, and which addresses does it stand for?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

from sip.uri import Address, SipUri

Transport = Literal["udp", "tcp", "tls", "ws", "wss"]

INACTIVE = 1
"""Kamailio's flag 1: the destination starts without new work."""
TRYING = 2
DISABLED = 4
"""Kamailio's flag 4: taken out of service by the operator."""
PROBING = 8
NO_DNS_ARES = 16
NO_PING = 32

NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Entry:
    """One line of the list, as written; its host may still be a name.

    `weight` and `rweight` are relative (any sum), 0 means no new work, None means the attribute was not given;
    `priority` is Kamailio's (the higher number comes first); `maxload` counts concurrent calls, 0 is unlimited.
    `attributes` holds every `name=value` as written, names in lower case, unknown ones included.
    """

    set_id: int
    uri: str
    target: SipUri
    flags: int = 0
    priority: int = 0
    weight: int | None = None
    rweight: int | None = None
    duid: str | None = None
    maxload: int = 0
    socket: Address | None = None
    attributes: Mapping[str, str] = NO_ATTRIBUTES
    line: int = 0


@attrs.frozen(kw_only=True)
class Destination:
    """One numeric address that an entry stands for: what a message is sent to.

    `address` is (host, port) with the canonical numeric host; `uri` is the entry's, as written.
    """

    entry: Entry
    address: Address
    transport: Transport = "udp"

    @property
    def identity(self) -> bytes:
        """The name that hashing sees: duid, else address:port;transport, so that order and spelling move no call.

        A name with several addresses has one duid for all of them; the address keeps them apart.
        """
        host, port = self.address
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self.entry.duid is None:
            return f"{where};{self.transport}".encode()
        return f"{self.entry.duid}".encode()
