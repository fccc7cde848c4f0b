"""What must a proxy know of a request before it routes it, and which requests are refused at sight (RFC 3261 16.3)?"""

from __future__ import annotations

import re

import attrs

from sip.address import tag_of
from sip.errors import ShortError, SipError
from sip.limits import MAX_CSEQ, MAX_LENGTH_DIGITS, MAX_MAX_FORWARDS
from sip.lists import split_members
from sip.message import SINGLE, Message, unfold
from sip.uri import SipUri, parse_uri, scheme_of
from sip.via import Via, parse_via

_CSEQ = re.compile(rb"([0-9]{1,20})[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)")
_CALL_ID = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_OTHER_URI = re.compile(rb"[!#-;=?-~]+")
"""Printable, without what may not stand in any URI: quotes and angle brackets."""
OTHER_SCHEMES = (b"tel", b"urn")
"""Request-URIs that pass although they name no host (RFC 3966, RFC 5031)."""


@attrs.define(slots=True)
class Request:
    """A legal request as far as a proxy looks into it.  Tags are b"" when absent; `uri` is None for tel: and urn:."""

    message: Message
    uri: SipUri | None
    via: Via
    """The top Via, as it came."""
    call_id: bytes
    from_tag: bytes
    to_tag: bytes
    cseq: int
    max_forwards: int | None


def read_request(message: Message) -> Request:
    """Check what RFC 3261 16.3 asks of every request, in its order; raises SipError with the status to answer.

    A body longer than Content-Length is cut off in `message` (18.3); Max-Forwards 0 is the caller's to refuse.
    """
    if message.version.upper() != b"SIP/2.0":
        raise SipError("Version Not Supported", 505)
    first = message.first
    for name in (b"via", b"from", b"to", b"call-id", b"cseq"):
        if name not in first:
            raise SipError(f"Missing {_written(name)}")
    if message.repeated:
        for name in SINGLE:
            if name in message.repeated:
                raise SipError(f"Repeated {_written(name)}")
    via = parse_via(unfold(split_members(first[b"via"])[0]))
    uri = read_uri(message.uri)
    max_forwards = _read_max_forwards(first.get(b"max-forwards"))
    cseq = _read_cseq(unfold(first[b"cseq"]), message.method)
    call_id = read_call_id(message)
    from_tag = tag_of(first[b"from"])
    to_tag = tag_of(first[b"to"])
    fit_body(message)
    return Request(message, uri, via, call_id, from_tag, to_tag, cseq, max_forwards)


def read_uri(text: bytes) -> SipUri | None:
    """A Request-URI; None for schemes that pass unread; raises SipError, with 416 for a scheme that nobody serves."""
    if text[:4].lower() == b"sip:" or text[:5].lower() == b"sips:":
        uri = parse_uri(text)
        if uri.headers is not None:
            raise SipError("Header fields in the Request-URI")
        if len(uri.params) > 1 and len(dict(uri.params)) < len(uri.params):  # RFC 3261 19.1.1
            raise SipError("Repeated parameter in the Request-URI")
        return uri
    if scheme_of(text) not in OTHER_SCHEMES:
        raise SipError("Unsupported URI Scheme", 416)
    if _OTHER_URI.fullmatch(text) is None:
        raise SipError("Malformed URI")
    return None


def read_call_id(message: Message) -> bytes:
    """The Call-ID, trimmed; raises SipError."""
    call_id = unfold(message.first.get(b"call-id", b""))
    if _CALL_ID.fullmatch(call_id) is None:
        raise SipError("Malformed Call-ID")
    return call_id


def read_cseq(message: Message) -> tuple[int, bytes]:
    """The sequence number and the method of CSeq (RFC 3261 20.16); raises SipError."""
    return _split_cseq(unfold(message.first.get(b"cseq", b"")))


def read_cseq_number(message: Message) -> int:
    """The sequence number of CSeq (RFC 3261 20.16); raises SipError."""
    return read_cseq(message)[0]


def fit_body(message: Message) -> None:
    """Hold the body against Content-Length (RFC 3261 18.3): cut what is too much; raises SipError.

    ShortError when there is less of it.
    """
    raw = message.first.get(b"content-length")
    if raw is None:
        return
    digits = unfold(raw)
    if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
        raise SipError("Malformed Content-Length")
    length = int(digits)
    if length != len(message.body):
        if length > len(message.body):
            raise ShortError("Content-Length larger than the body")
        message.body = message.body[:length]


def _read_max_forwards(raw: bytes | None) -> int | None:
    if raw is None:
        return None
    digits = unfold(raw)
    if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS or int(digits) > MAX_MAX_FORWARDS:
        raise SipError("Malformed Max-Forwards")
    return int(digits)


def _read_cseq(text: bytes, method: bytes) -> int:
    number, own = _split_cseq(text)
    if own != method:
        raise SipError("CSeq method does not match the request")
    return number


def _split_cseq(text: bytes) -> tuple[int, bytes]:
    match = _CSEQ.fullmatch(text)
    if match is None:
        raise SipError("Malformed CSeq")
    number = int(match[1])
    if number > MAX_CSEQ:
        raise SipError("CSeq number too large")
    return number, match[2]


def _written(name: bytes) -> str:
    return {b"call-id": "Call-ID", b"cseq": "CSeq"}.get(name, name.decode().title())
