"""What are the start line, the header fields and the body of a datagram (RFC 3261 7)?

A message is its lines.  Fields stay raw bytes, folds included; a line that nobody replaces leaves as it came, and so
does the message: `Message.parse(data).to_bytes() == data` for every datagram without leading line ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from sip.errors import SipError
from sip.limits import MAX_FIELD_BYTES, MAX_HEADER_FIELDS, MAX_HEADER_LINES, MAX_MESSAGE_BYTES
from sip.names import KNOWN, canonical

_REQUEST_LINE = re.compile(rb"([A-Za-z0-9\-.!%*_+`'~]+) ([^ \t\r]+) ([sS][iI][pP]/[0-9]+\.[0-9]+)\r?")
_STATUS_LINE = re.compile(rb"[sS][iI][pP]/2\.0 ([1-6][0-9][0-9])(?: [^\r]*)?\r?")

SINGLE = (b"from", b"to", b"call-id", b"cseq", b"max-forwards", b"content-length")
"""Fields that a proxy reads and that may stand only once (RFC 3261 20; RFC 4475 3.3.8 and 3.3.9)."""


@attrs.define(slots=True)
class Message:
    """A request or a reply, split but not interpreted.

    `lines` are the header fields without their line end, `names` their names in lower case and long form, in the same
    order; `first` gives the raw value of a name's first field; `repeated` names the fields that stand more than once.
    `eol` joins the lines: CRLF, or LF when the sender ended any line so; its other lines then keep their own CR.
    """

    start: bytes
    lines: list[bytes]
    names: list[bytes]
    first: dict[bytes, bytes]
    repeated: set[bytes] | frozenset[bytes]
    eol: bytes
    blank: bytes
    """The empty line after the head, as it came."""
    body: bytes
    method: bytes
    """Of a request; empty in a reply."""
    uri: bytes
    """The Request-URI as written; empty in a reply."""
    version: bytes
    status: int
    """Of a reply; 0 in a request."""

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Split a datagram; raises SipError when it is not a SIP message or breaks a limit."""
        if len(data) > MAX_MESSAGE_BYTES:
            raise SipError("Message Too Large", 513)
        head, end, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        ends = len(lines) - 1
        eol = blank = b"\r\n"
        if not (end and lines[0] and head.count(b"\n") == ends == head.count(b"\r")):
            lines, eol, blank, body = _split_unusual(data)
        elif b"\n " in head or b"\n\t" in head:
            lines = _join_folds(lines, b"\r\n")
        if b"\x00" in data:
            _check_nulls(lines)
        start = lines.pop(0)
        if len(start) > MAX_FIELD_BYTES:
            raise SipError("Request-URI Too Long", 414)
        request = _REQUEST_LINE.fullmatch(start)
        if request is not None:
            method, uri, version = request.groups()
            status = 0
        else:
            method = uri = version = b""
            status = _parse_status(start)
        if len(data) - len(body) > MAX_FIELD_BYTES and max(map(len, lines), default=0) > MAX_FIELD_BYTES:
            raise SipError("Header field too long")
        names, first, repeated = _name_fields(lines)
        return cls(start, lines, names, first, repeated, eol, blank, body, method, uri, version, status)

    def value(self, name: bytes) -> bytes | None:
        """The first value of a field (name in lower case), trimmed and unfolded; None when it is absent."""
        raw = self.first.get(name)
        return None if raw is None else unfold(raw)

    def values(self, name: bytes) -> Iterator[tuple[int, bytes]]:
        """Each field of a name: its place in `lines` and its raw value."""
        if name in self.first:
            for place, own in enumerate(self.names):
                if own == name:
                    yield place, self.lines[place].partition(b":")[2]

    def to_bytes(self) -> bytes:
        """The datagram again, byte for byte."""
        return self.eol.join((self.start, *self.lines, self.blank + self.body))


def unfold(raw: bytes) -> bytes:
    """A field's value without the white space round it, each fold turned into one space (RFC 3261 7.3.1)."""
    if b"\n" in raw:  # by hand: a pattern that eats the white space before a line end tries every blank of a long run
        raw = b" ".join([line.strip(b" \t\r") for line in raw.split(b"\n")])
    return raw.strip(b" \t\r\n")


_NONE: frozenset[bytes] = frozenset()


def _name_fields(lines: list[bytes]) -> tuple[list[bytes], dict[bytes, bytes], set[bytes] | frozenset[bytes]]:
    if len(lines) > MAX_HEADER_FIELDS:
        raise SipError("Too many header fields")
    names: list[bytes] = []
    first: dict[bytes, bytes] = {}
    again: list[bytes] = []
    known = KNOWN.get
    for line in lines:
        written, colon, value = line.partition(b":")
        name = known(written)
        if name is None or not colon:
            name = canonical(written, line)
        names.append(name)
        if name in first:
            again.append(name)
        else:
            first[name] = value
    return names, first, set(again) if again else _NONE


def _check_nulls(lines: list[bytes]) -> None:
    """A NUL ends the message for a server written in C, so it may only stand in a quoted pair (RFC 4475 3.1.1.2)."""
    if any(line.count(b"\x00") != line.count(b"\\\x00") for line in lines):
        raise SipError("NUL in a header field")


def _parse_status(start: bytes) -> int:
    match = _STATUS_LINE.fullmatch(start)
    if match is None:
        raise SipError("Malformed start line")
    return int(match[1])


def _split_unusual(data: bytes) -> tuple[list[bytes], bytes, bytes, bytes]:
    """Split what has leading line ends or bare line feeds: lines, their end, the empty line, the body.

    Line ends before the start line are skipped (RFC 3261 7.5).  A lone CR ends a line for some parsers and not for
    others, so nobody is to see it.
    """
    data = data.lstrip(b"\r\n")
    lines: list[bytes] = []
    at = 0
    while True:
        end = data.find(b"\n", at)
        if end < 0:
            raise SipError("No empty line after the header fields")
        line = data[at:end]
        at = end + 1
        if line in (b"", b"\r"):
            break
        if b"\r" in line[:-1]:
            raise SipError("Carriage return within a line")
        lines.append(line)
        if len(lines) > MAX_HEADER_LINES:
            raise SipError("Too many header lines")
    blank = line + b"\n"
    if all(part.endswith(b"\r") for part in lines):
        return _join_folds([part[:-1] for part in lines], b"\r\n"), b"\r\n", blank, data[at:]
    return _join_folds(lines, b"\n"), b"\n", blank, data[at:]


def _join_folds(lines: list[bytes], eol: bytes) -> list[bytes]:
    """Put the continuation lines of a field (they start with white space) back to their first line."""
    if len(lines) > MAX_HEADER_LINES:
        raise SipError("Too many header lines")
    joined: list[list[bytes]] = [[lines[0]]]
    for line in lines[1:]:
        if not line.startswith((b" ", b"\t")):
            joined.append([line])
        elif len(joined) == 1:
            raise SipError("White space before the first header field")
        else:
            joined[-1].append(line)
    return [eol.join(parts) for parts in joined]
