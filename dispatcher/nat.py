"""Does a request come from behind a NAT, so that its sender is reached by its flow only?"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network

from sip.address import parse_name_addr
from sip.errors import SipError
from sip.lists import split_members
from sip.message import unfold
from sip.request import Request
from sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, Address, numeric, parse_uri

_CONTACT = re.compile(rb"(?:[ \t]*\"[^\"\\]*\"[ \t]*|[^<\",:]*)<sip(s?):(?:[^@<>\"]*@)?([0-9.]+)(?::([0-9]{1,5}))?>")
"""The Contact of nearly every phone: IPv4 within angle brackets, no parameters."""

_PRIVATE = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # RFC 6598, carrier-grade NAT
        "fc00::/7",  # RFC 4193
    )
)
_LOCAL = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",  # RFC 1122, within a node
        "::1/128",
        "169.254.0.0/16",  # RFC 3927, on one link
        "fe80::/10",
    )
)


def is_behind_nat(request: Request, source: Address) -> bool:
    """True when sent-by or, private, the Contact is an address other than the source, or a NAT has changed the port.

    The port counts of who asks for `rport` and so expects answers, and requests, where it sends from.  A public
    Contact elsewhere is a trunk's and is honoured; a name in sent-by says nothing.
    """
    host = source[0]
    sent_by = numeric(request.via.host)
    if sent_by is not None and sent_by != host:
        return True
    raw = request.message.first.get(b"contact")
    contact = None if raw is None else _contact(raw)
    if contact is None:
        return False
    if contact[0] == host:
        return request.via.rport is not None and contact[1] != source[1]
    if is_local(contact[0]) and not is_local(host):
        return True
    return is_private(contact[0]) and not is_private(host)


@lru_cache(maxsize=8192)
def is_private(host: str) -> bool:
    """Whether a numeric address is never seen on the public network (RFC 1918, 6598, 4193)."""
    address = ip_address(host)
    return any(address in network for network in _PRIVATE)


@lru_cache(maxsize=8192)
def is_local(host: str) -> bool:
    """Whether a numeric address is never seen beyond its node or its link, so that it leads nowhere from elsewhere."""
    address = ip_address(host)
    return any(address in network for network in _LOCAL)


def _contact(raw: bytes) -> Address | None:
    """Where the first Contact is; None for a name, `*` or what cannot be read: that is the registrar's."""
    common = _CONTACT.match(raw)
    if common is not None:
        secure, host, port = common.groups()
        literal = numeric(host.decode())
        return None if literal is None else (literal, int(port or (DEFAULT_TLS_PORT if secure else DEFAULT_PORT)))
    try:
        uri = parse_uri(parse_name_addr(unfold(split_members(raw)[0])).uri)
    except SipError:
        return None
    return None if uri.numeric_host is None else (uri.numeric_host, uri.port or uri.default_port)
