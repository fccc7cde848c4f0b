"""What is a listener: transport, address, and the name by which others reach it?"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

import attrs

from dispatcher.destination import Transport
from sip.uri import Address, host_port


@attrs.frozen
class Listener:
    """Where messages arrive and leave.  Nothing outside the service may assume that this is UDP.

    `address` is what the socket is bound to, (canonical numeric host, port).  `advertise` is (host, port) as others
    see this listener when that is something else, behind a static NAT for instance: the host may be a name, IPv6
    without brackets.
    """

    transport: Transport
    address: Address
    advertise: tuple[str, int] | None = None

    sent_by: bytes = attrs.field(init=False, eq=False, repr=False)
    """`host:port` for Via (RFC 3261 18.1.1) and Record-Route: IPv6 in brackets, the port always written.

    Made once: it goes into every message that leaves.
    """

    @sent_by.default
    def _sent_by(self) -> bytes:
        return host_port(self.advertised).encode("ascii")

    @property
    def advertised(self) -> tuple[str, int]:
        """(host, port) that Via and Record-Route name."""
        return self.address if self.advertise is None else self.advertise

    @property
    def family(self) -> Literal[4, 6]:
        return 6 if ":" in self.address[0] else 4

    @property
    def is_wildcard(self) -> bool:
        """Whether the address means every address of the node: no source address, no Via can be made of that."""
        return ip_address(self.address[0]).is_unspecified

    def __str__(self) -> str:
        return f"{self.transport}:{host_port(self.address)}"
