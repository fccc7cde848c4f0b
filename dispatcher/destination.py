"""What is a line of the dispatcher list, and which addresses does it stand for?"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import attrs

from sip.uri import Address, SipUri, host_port

Transport = Literal["udp", "tcp", "tls", "ws", "wss"]

AVAILABLE_TRANSPORTS: Final[frozenset[str]] = frozenset({"udp"})
"""The transports that a message can leave by; a destination that asks for another one is refused with its list."""

INACTIVE = 1
"""Kamailio's flag 1: the destination starts without new work."""
TRYING = 2
DISABLED = 4
"""Kamailio's flag 4: taken out of service by the operator."""
PROBING = 8
NO_DNS_ARES = 16
NO_PING = 32
KNOWN_FLAGS = INACTIVE | TRYING | DISABLED | PROBING | NO_DNS_ARES | NO_PING

NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Entry:
    """One line of the list, as written; its host may still be a name.

    `weight` and `rweight` are relative (any sum), 0 means no new work, None means the attribute was not given;
    `priority` is Kamailio's (the algorithm `priority` takes the higher number first, `tiers` the lower), from the
    column or from the attribute of that name; `maxload` counts concurrent calls, 0 is unlimited.

    What belongs to the probes is None where the line leaves it to the configuration: `ping_from` is a SIP URI,
    `probe_interval` and `probe_timeout` are seconds, `rise` and `fall` count probes in a row, `reply_codes` holds
    every final status code that counts as alive (2xx always among them).

    `attributes` holds every `name=value` as written, without quotes, names in lower case, unknown ones included.
    Two entries are equal when they say the same, on whichever line.
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
    ping_from: str | None = None
    probe_interval: float | None = None
    probe_timeout: float | None = None
    rise: int | None = None
    fall: int | None = None
    reply_codes: frozenset[int] | None = None
    attributes: Mapping[str, str] = attrs.field(default=NO_ATTRIBUTES, hash=False)
    line: int = attrs.field(default=0, eq=False)

    @property
    def key(self) -> tuple[int, str, int, str]:
        """Set, host, port and transport as values: lines that share them are one destination however it is spelled."""
        port = self.target.default_port if self.target.port is None else self.target.port
        return self.set_id, self.target.host.removesuffix("."), port, self.target.transport


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

        The addresses of a name share the name's duid; their pool tells them apart.
        """
        if self.entry.duid is None:
            return f"{host_port(self.address)};{self.transport}".encode()
        return self.entry.duid.encode()
