"""Which names does the hosts file give, and for which addresses (hosts(5))?"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

LOOPBACK = ("127.0.0.1", "::1")


def parse_hosts(text: bytes) -> Mapping[str, tuple[str, ...]]:
    """Every name and alias in lower case with its addresses, those of several lines together, in their order.

    Lines that are not understood are stepped over: the file is not ours, and the C library does the same.
    """
    found: dict[str, dict[str, None]] = {}
    for line in text.split(b"\n"):
        fields = line.partition(b"#")[0].decode("latin-1").split()
        if len(fields) < 2:
            continue
        try:
            host = str(ip_address(fields[0]))
        except ValueError:
            continue
        for name in fields[1:]:
            found.setdefault(name.lower().removesuffix("."), {})[host] = None
    return {name: tuple(hosts) for name, hosts in found.items()}


def find_host(hosts: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    """The addresses of a name without asking the DNS, () for none; `localhost` needs no file (RFC 6761 6.3)."""
    if name == "localhost" or name.endswith(".localhost"):
        return hosts.get(name, LOOPBACK)
    return hosts.get(name, ())
