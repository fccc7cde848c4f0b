"""What does an answer of our own look like (RFC 3261 8.2.6 and 8.2.7), even to a request that cannot be parsed?"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sip.address import tag_of
from sip.errors import SipError
from sip.limits import MAX_HEADER_FIELDS
from sip.lists import split_members
from sip.message import Message, unfold
from sip.names import KNOWN, canonical
from sip.uri import parse_host
from sip.via import Via, parse_via

_COPIED = (b"via", b"from", b"to", b"call-id", b"cseq")
_LENIENT_VIA = re.compile(
    rb"SIP[ \t]*+/[ \t]*+[0-9.]++[ \t]*+/[ \t]*+([A-Za-z]++)[ \t]++"
    rb"(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9_.-]++)(?:[ \t]*+:[ \t]*+([0-9]{1,5}))?",
    re.IGNORECASE,
)
_RPORT = re.compile(rb";[ \t]*+rport[ \t]*+(?:;|,|=|$)", re.IGNORECASE)
_BRANCH = re.compile(rb";[ \t]*+branch[ \t]*+=[ \t]*+([^;, \t]++)", re.IGNORECASE)
_TAG = re.compile(rb";[ \t]*+tag[ \t]*+=", re.IGNORECASE)
_CONTROLS = bytes(code for code in range(32) if code != 9) + b"\x7f"
_BLANKED = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
_NOT_PHRASE = re.compile(rb"[^\x20-\x7e]")

REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    414: "Request-URI Too Long",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    480: "Temporarily Unavailable",
    482: "Loop Detected",
    483: "Too Many Hops",
    500: "Server Internal Error",
    503: "Service Unavailable",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
}
"""Phrases for the codes that we answer with ourselves; any other code gets its class's."""

_CLASSES = {4: "Request Failure", 5: "Server Failure", 6: "Global Failure"}


def phrase(status: int) -> str:
    """The reason phrase that goes with a status code of RFC 3261 21."""
    return REASONS.get(status) or _CLASSES.get(status // 100, "Failure")


def compose_reply(
    request: Message, status: int, reason: str, *, via_line: bytes, to_tag: bytes, fields: Iterable[bytes] = ()
) -> bytes:
    """The bytes of an answer to `request`.

    `via_line` replaces the top Via field (it carries received and rport), `to_tag` is added when To has no tag yet,
    `fields` are further header fields without line end.  What the request lacks the answer lacks too.  Folds are
    undone, so that every line end in the answer is ours.
    """
    lines = [b"SIP/2.0 %d %s" % (status, _NOT_PHRASE.sub(b"?", reason.encode("latin-1", "replace")))]
    seen_via = False
    for name, line in zip(request.names, request.lines, strict=True):
        if name not in _COPIED:
            continue
        if name == b"via" and not seen_via:
            seen_via = True
            lines.append(_in_one_line(via_line))
        elif name == b"to":
            lines.append(_with_tag(_in_one_line(line), to_tag))
        else:
            lines.append(_in_one_line(line))
    lines += fields
    lines.append(b"Content-Length: 0\r\n\r\n")
    return b"\r\n".join(lines)


def salvage(data: bytes) -> tuple[Message, Via] | None:
    """What can be answered of a request that does not parse: its readable fields and the top Via, leniently.

    None when it is not a request, an ACK or CANCEL (never answered by us), or has no Via that says where it came from.
    """
    head = data.lstrip(b"\r\n").replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    head = head.replace(b"\n ", b"  ").replace(b"\n\t", b"  ")
    start, *lines = head.split(b"\n", MAX_HEADER_FIELDS + 1)[: MAX_HEADER_FIELDS + 1]
    words = start.split(None, 2)
    if len(words) < 2 or words[0][:4].upper() == b"SIP/" or words[0] in (b"ACK", b"CANCEL"):
        return None
    readable: list[bytes] = []
    names: list[bytes] = []
    first: dict[bytes, bytes] = {}
    for untidy in lines:
        line = untidy.translate(_BLANKED)
        written, colon, value = line.partition(b":")
        try:
            name = KNOWN[written] if colon and written in KNOWN else canonical(written, line)
        except SipError:
            continue
        if name in _COPIED and (name == b"via" or name not in first):
            readable.append(line)
            names.append(name)
            first.setdefault(name, value)
    via = lenient_via(first.get(b"via", b"").strip(b" \t"))
    if via is None:
        return None
    message = Message(start, readable, names, first, frozenset(), b"\r\n", b"\r\n", b"", words[0], b"", b"", 0)
    return message, via


def lenient_via(text: bytes) -> Via | None:
    """A top Via read for its sent-by, branch and rport only, whatever else is wrong with it."""
    try:
        return parse_via(unfold(split_members(text)[0]))
    except SipError:
        pass
    match = _LENIENT_VIA.match(text)
    if match is None:
        return None
    transport, host, port = match.groups()
    branch = _BRANCH.search(text)
    try:
        name = parse_host(host)
    except SipError:
        return None
    number = int(port) if port else None
    if number is not None and not 0 < number < 65536:
        return None
    rport = b"" if _RPORT.search(text) else None
    return Via(transport.decode().upper(), name, number, branch[1] if branch else b"", None, rport)


def _in_one_line(line: bytes) -> bytes:
    """A field without folds and without a CR of its own."""
    if b"\n" not in line:
        return line.rstrip(b"\r")
    written, _, raw = line.partition(b":")
    return written + b": " + unfold(raw)


def _with_tag(line: bytes, to_tag: bytes) -> bytes:
    if not to_tag or _has_tag(line.partition(b":")[2]):
        return line
    return line.rstrip(b" \t") + b";tag=" + to_tag


def _has_tag(raw: bytes) -> bool:
    try:
        return bool(tag_of(raw))
    except SipError:
        return _TAG.search(raw.rpartition(b">")[2]) is not None
