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
from sip.uri import numeric, parse_uri

_CONTACT_HOST = re.compile(rb"[^<]*<sips?:(?:[^@<>\"]*@)?([0-9.]+)(?::[0-9]+)?[;>]")
"""The Contact of nearly every phone: IPv4 within angle brackets."""

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


def is_behind_nat(request: Request, source: str) -> bool:
    """True when the top Via's sent-by is an address other than the source, or only the Contact is a private address.

    A public Contact elsewhere is a trunk's and is honoured; a name in sent-by says nothing.
    """
    sent_by = numeric(request.via.host)
    if sent_by is not None and sent_by != source:
        return True
    raw = request.message.first.get(b"contact")
    if raw is None:
        return False
    host = _contact_host(raw)
    return host is not None and host != source and is_private(host) and not is_private(source)


@lru_cache(maxsize=8192)
def is_private(host: str) -> bool:
    """Whether a numeric address is never seen on the public network (RFC 1918, 6598, 4193)."""
    address = ip_address(host)
    return any(address in network for network in _PRIVATE)


def _contact_host(raw: bytes) -> str | None:
    """The numeric host of the first Contact; None for a name, `*` or what cannot be read: that is the registrar's."""
    common = _CONTACT_HOST.match(raw)
    if common is not None:
        return numeric(common[1].decode())
    try:
        return parse_uri(parse_name_addr(unfold(split_members(raw)[0])).uri).numeric_host
    except SipError:
        return None
