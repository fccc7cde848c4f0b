"""Which addresses do the benches use?  All of loopback, none that a running service would have."""

from __future__ import annotations

from ipaddress import IPv4Address

PROXY_HOST, PROXY_PORT = "127.0.0.10", 5060
CLIENT_HOST, CLIENT_PORT = "127.0.0.20", 6060
DESTINATIONS, DESTINATION_PORT = IPv4Address("127.1.0.0"), 7000
"""The destinations are the addresses that follow, all on one port: sipanswer answers for all with one socket."""


def dispatcher_list(count: int, *, first: int = 1) -> str:
    """A list with one set of `count` destinations of equal weight, from the `first`-th address on."""
    hosts = (DESTINATIONS + number for number in range(first, first + count))
    return "".join(f"1 sip:{host}:{DESTINATION_PORT} 0 1 weight=50\n" for host in hosts)
