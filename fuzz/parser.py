"""Does the parser keep its promises on any bytes?

The invariant: an unedited message leaves byte for byte as it came, an edit changes what it is asked to change and
nothing else, and whatever the bytes are, nothing but SipError escapes.
"""

from __future__ import annotations

from collections.abc import Callable

from sip.address import parse_name_addr
from sip.edit import stamp_via, without_first_member
from sip.errors import SipError
from sip.lists import split_members
from sip.message import Message, unfold
from sip.reply import salvage
from sip.request import fit_body, read_request
from sip.routes import keep_routes, route_uris
from sip.via import parse_via, reply_address, vias

LIMIT_BYTES = 16_000
"""Longer messages are parsed and not edited: an edit may take a field over the parser's own limits."""

_ADDRESSES = (b"from", b"to", b"contact", b"record-route", b"path", b"refer-to")


def check(data: bytes) -> None:
    """Raise whatever is wrong with the parser on these bytes."""
    salvage(data)
    try:
        message = Message.parse(data)
    except SipError:
        return
    assert message.to_bytes() == data.lstrip(b"\r\n"), "an unedited message leaves byte for byte as it came"
    _quietly(lambda: read_request(Message.parse(data)))
    _check_body(data)
    if len(data) > LIMIT_BYTES:
        return
    _check_members(message)
    _check_vias(message)
    _check_routes(message)


def _check_members(message: Message) -> None:
    for name, line in zip(message.names, message.lines, strict=True):
        raw = line.partition(b":")[2]
        try:
            members = split_members(raw)
        except SipError:
            continue
        assert b",".join(members) == raw, "the members of a list are its bytes"
        if name in _ADDRESSES:
            for member in members:
                _quietly(lambda member=member: parse_name_addr(unfold(member)).tag)  # type: ignore[misc]


def _check_vias(message: Message) -> None:
    try:
        before = vias(message)
        if not before:
            return
        top = parse_via(before[0])
    except SipError:
        return
    reply_address(top)
    line = message.lines[message.names.index(b"via")]
    for received, rport in (("192.0.2.9", None), ("192.0.2.9", 40009), ("2001:db8::9", 9), (None, 7)):
        after = _replaced(message, message.names.index(b"via"), stamp_via(line, received=received, rport=rport))
        now = vias(after)
        assert now[1:] == before[1:], "stamping the top Via leaves the others alone"
        via = parse_via(now[0])
        assert (via.transport, via.host, via.port, via.branch) == (top.transport, top.host, top.port, top.branch)
        assert via.received == received, "received is what we saw, whatever stood there"
        assert via.rport == (top.rport if rport is None else b"%d" % rport)
    place, rest = without_first_member(message, b"via")
    assert vias(_replaced(message, place, rest)) == before[1:], "popping takes the top Via and no other"


def _check_routes(message: Message) -> None:
    try:
        before = route_uris(message)
    except SipError:
        return
    for start, stop in ((0, len(before)), (1, len(before)), (0, len(before) - 1), (1, 1)):
        if not 0 <= start <= stop <= len(before):
            continue
        after = message
        for place, line in sorted(keep_routes(message, start, stop).items(), reverse=True):
            after = _replaced(after, place, line)
        assert route_uris(after) == before[start:stop], "the Route keeps just the members that it is to keep"


def _check_body(data: bytes) -> None:
    message = Message.parse(data)
    whole = message.body
    try:
        fit_body(message)
    except SipError:
        return
    assert whole.startswith(message.body), "a body is cut, never changed"
    assert data.lstrip(b"\r\n").startswith(message.to_bytes())


def _replaced(message: Message, place: int, line: bytes | None) -> Message:
    """The message parsed again with another line, or none, at a place."""
    lines = message.lines.copy()
    if line is None:
        del lines[place]
    else:
        lines[place] = line
    return Message.parse(message.eol.join((message.start, *lines, message.blank + message.body)))


def _quietly(read: Callable[[], object]) -> None:
    try:
        read()
    except SipError:
        return
