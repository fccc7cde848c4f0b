"""Which addresses move, and where are they set?"""

from __future__ import annotations

import ipaddress

import attrs


@attrs.frozen
class VirtualAddress:
    """One address that moves: numeric, the length of its prefix, and the interface it is set on."""

    address: str
    prefix: int
    interface: str

    @classmethod
    def of(cls, text: str, interface: str) -> VirtualAddress:
        """From `192.0.2.100/24` or `2001:db8::100`; without a prefix it is the whole address.  ValueError otherwise."""
        parsed = ipaddress.ip_interface(text)
        if "%" in text:
            raise ValueError(f"{text}: the interface is named on its own, not with %")
        if parsed.is_multicast or parsed.is_unspecified or parsed.is_loopback:
            raise ValueError(f"{text}: an address that one node has at a time is needed")
        return cls(str(parsed.ip), parsed.network.prefixlen, interface)

    @property
    def is_ipv6(self) -> bool:
        """Whether it is of IPv6."""
        return ":" in self.address

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix} on {self.interface}"
