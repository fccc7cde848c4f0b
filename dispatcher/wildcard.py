"""Which addresses of this node does a wildcard listener mean?"""

from __future__ import annotations

from ipaddress import ip_address

import netifaces

from dispatcher.listener import Listener
from sip.uri import Address


def expand_wildcard(listener: Listener) -> tuple[Address, ...]:
    """The node's addresses of the listener's family, with its port; the listener's own address when it is no wildcard.

    Loopback and link-local addresses are left out unless there is nothing else.  Empty when the node has none.
    """
    host, port = listener.address
    if not listener.is_wildcard:
        return ((host, port),)
    hosts = node_hosts(listener.family)
    parsed = [(ip_address(host), host) for host in hosts]
    for kept in (
        [host for ip, host in parsed if not ip.is_loopback and not ip.is_link_local],
        [host for ip, host in parsed if ip.is_loopback],
        hosts,
    ):
        if kept:
            return tuple((host, port) for host in kept)
    return ()


def node_hosts(family: int) -> list[str]:
    """The numeric addresses of every interface, in the kernel's order, each once; link-local ones with `%interface`."""
    kind = netifaces.AF_INET if family == 4 else netifaces.AF_INET6
    found: dict[str, None] = {}
    for interface in netifaces.interfaces():
        for entry in netifaces.ifaddresses(interface).get(kind, ()):
            found[str(ip_address(entry["addr"]))] = None
    return list(found)
