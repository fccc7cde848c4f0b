"""Where did a request come from and where does its reply go (RFC 3261 18.2.2 and 20.42, RFC 3581)?"""

from __future__ import annotations

import re

import attrs

from sip.errors import SipError
from sip.lists import split_members, split_params
from sip.message import Message, unfold
from sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, Address, numeric, parse_host

_VIA = re.compile(
    rb"[sS][iI][pP][ \t]*/[ \t]*2\.0[ \t]*/[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+"
    rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?)"
    rb"(?:[ \t]*:[ \t]*([0-9]{1,5}))?[ \t]*(;.*)?",
    re.DOTALL,
)
_PARAM_NAME = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+")


@attrs.frozen
class Via:
    """One Via value.  `host` is in lower case, canonical, without brackets; `rport` is b"" when only asked for."""

    transport: str
    host: str
    port: int | None
    branch: bytes
    received: str | None = None
    rport: bytes | None = None
    ours: bytes = b""
    """The values of the parameters `l` and `i` that only this program writes, as `l=..;i=..`."""

    @property
    def sent_by_port(self) -> int:
        if self.port is not None:
            return self.port
        return DEFAULT_TLS_PORT if self.transport in ("TLS", "WSS") else DEFAULT_PORT


def reply_address(via: Via) -> Address | None:
    """Where a reply with this Via on top is sent; None when that would take a look-up.

    The received address and rport if they stand there (RFC 3581 4), else sent-by.  `maddr` is never followed: a reply
    goes only where its request came from.
    """
    host = via.received or numeric(via.host)
    if host is None:
        return None
    return host, int(via.rport) if via.rport else via.sent_by_port


def parse_via(text: bytes) -> Via:
    """Parse one Via value, trimmed and unfolded; raises SipError."""
    match = _VIA.fullmatch(text)
    if match is None:
        raise SipError("Malformed Via")
    transport, host, port, params = match.groups()
    branch = ours = b""
    received: str | None = None
    rport: bytes | None = None
    if params:
        for piece in split_params(params)[1:]:
            name, _, value = piece.partition(b"=")
            name = name.strip().lower()
            value = value.strip()
            if name == b"branch":
                branch = value
            elif name == b"rport":
                rport = _port_text(value)
            elif name == b"received":
                received = _received(value)
            elif name in (b"l", b"i"):
                ours += name + b"=" + value + b";"
            elif _PARAM_NAME.fullmatch(name) is None:
                raise SipError("Malformed Via parameter")
    number = None if port is None else int(port)
    if number is not None and not 0 < number < 65536:
        raise SipError("Port out of range in Via")
    return Via(transport.decode().upper(), parse_host(host), number, branch, received, rport, ours)


def vias(message: Message) -> list[bytes]:
    """Every Via value of a message from the top, trimmed and unfolded; raises SipError."""
    found = []
    for _, raw in message.values(b"via"):
        found += [unfold(member) for member in split_members(raw)]
    return found


def _port_text(value: bytes) -> bytes:
    if not value:
        return value
    if not value.isdigit() or not 0 < int(value[:6]) < 65536:
        raise SipError("Malformed rport in Via")
    return value


def _received(value: bytes) -> str:
    """IPv6 stands here with and without brackets (RFC 5118 4.5)."""
    host = numeric(value.strip(b"[]").decode("latin-1"))
    if host is None:
        raise SipError("Malformed received in Via")
    return host
