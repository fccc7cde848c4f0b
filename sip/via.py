"""Where did a request come from and where does its reply go (RFC 3261 18.2.2 and 20.42, RFC 3581)?"""

from __future__ import annotations

import re

import attrs

from sip.errors import SipError
from sip.limits import MAX_VIAS
from sip.lists import PARAMS, TOKEN, read_params, split_members
from sip.message import Message, unfold
from sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, HOST, Address, numeric, parse_host

_VIA = re.compile(
    rb"[sS][iI][pP][ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+(" + TOKEN + rb")[ \t]++"
    rb"(" + HOST + rb")"
    rb"(?:[ \t]*+:[ \t]*+([0-9]{1,5}))?(" + PARAMS + rb")",
    re.DOTALL,
)
_RPORT = rb"(?:=([0-9]{1,5}))?"
_RECEIVED = rb"(?:;received=([0-9.]++))?"
_COMMON = re.compile(
    rb"SIP/2\.0/([A-Z]++) ([A-Za-z0-9_][A-Za-z0-9_.-]*+)(?::([0-9]{1,5}))?"
    rb"(?:;branch=(" + TOKEN + rb")(?:;rport" + _RPORT + rb"())?" + _RECEIVED + rb"|"
    rb";rport"
    + _RPORT
    + _RECEIVED
    + rb";branch=("
    + TOKEN
    + rb"))(?:;l=[0-9a-f]++)?(?:;t=([0-9a-z]++))?(?:;i=([0-9a-f]++))?"
)
"""What phones and servers write, what it is after we have stamped it, and our own."""


@attrs.frozen
class Via:
    """One Via value.  `host` is in lower case, canonical, without brackets; `rport` is b"" when only asked for."""

    transport: str
    host: str
    port: int | None
    branch: bytes
    received: str | None = None
    rport: bytes | None = None
    left: bytes = b""
    """The value of `t`, which only this program writes: when the request left."""
    arrival: bytes = b""
    """The value of `i`, which only this program writes: the listener that the request arrived on."""

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
    match = _COMMON.fullmatch(text)
    if match is not None:
        return _read_common(match)
    match = _VIA.fullmatch(text)
    if match is None:
        raise SipError("Malformed Via")
    transport, host, port, params = match.groups()
    if not params:
        return Via(transport.decode().upper(), parse_host(host), _port(port), b"")
    values = read_params(params)
    rport = values.get(b"rport")
    received = values.get(b"received")
    return Via(
        transport.decode().upper(),
        parse_host(host),
        _port(port),
        values.get(b"branch", b""),
        None if received is None else _received(received),
        _check_rport(rport) if rport else rport,
        values.get(b"t", b""),
        values.get(b"i", b""),
    )


def _read_common(match: re.Match[bytes]) -> Via:
    transport, host, port, branch, rport, asked, received, rport_first, received_first, last, left, arrival = (
        match.groups()
    )
    if branch is None:
        branch, rport, asked, received = last, rport_first, b"", received_first
    if rport is not None:
        _check_rport(rport)
    return Via(
        transport.decode(),
        host.decode().lower(),
        _port(port),
        branch,
        None if received is None else _received(received),
        rport or asked,
        left or b"",
        arrival or b"",
    )


def vias(message: Message) -> list[bytes]:
    """Every Via value of a message from the top, trimmed and unfolded; raises SipError."""
    found: list[bytes] = []
    for _, raw in message.values(b"via"):
        found += split_members(raw)
        if len(found) > MAX_VIAS:
            raise SipError("Too many Via values")
    return [unfold(member) for member in found]


def _port(digits: bytes | None) -> int | None:
    if digits is None:
        return None
    number = int(digits)
    if not 0 < number < 65536:
        raise SipError("Port out of range in Via")
    return number


def _check_rport(value: bytes) -> bytes:
    if not value.isdigit() or len(value) > 5 or not 0 < int(value) < 65536:
        raise SipError("Malformed rport in Via")
    return value


def _received(value: bytes) -> str:
    """IPv6 stands here with and without brackets (RFC 5118 4.5)."""
    host = numeric(value.strip(b"[]").decode("latin-1"))
    if host is None:
        raise SipError("Malformed received in Via")
    return host
