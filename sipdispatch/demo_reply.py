"""What does the demo's answerer say to a request (RFC 3261 8.2.6, 9.2, 13.3.1; RFC 3264 6)?"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from dispatcher.received import Received
from sip.uri import Address, host_port

ALLOW = b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER"
NOT_ALLOWED = 405

_COPIED = (b"via", b"record-route", b"from", b"to", b"call-id", b"cseq")
_PHRASES = {
    180: b"Ringing",
    200: b"OK",
    405: b"Method Not Allowed",
    481: b"Call/Transaction Does Not Exist",
    487: b"Request Terminated",
}
_PLAIN_RTP = (b"RTP/AVP", b"RTP/AVPF")


def reply(received: Received, status: int, *, fields: Iterable[bytes] = (), body: bytes = b"") -> bytes:
    """A reply; its To tag is the same for the same request, so that a retransmission changes nothing."""
    request = received.request
    message = request.message
    tag = b"%08x" % zlib.crc32(request.call_id + b"\n" + request.from_tag)
    lines = [b"SIP/2.0 %d %b" % (status, _PHRASES[status])]
    top = message.names.index(b"via")
    for place, (name, line) in enumerate(zip(message.names, message.lines, strict=True)):
        if name not in _COPIED:
            continue
        line = received.via_line if place == top else line  # noqa: PLW2901 - the same line as we leave it
        lines.append(line.rstrip(b"\r") + (b";tag=" + tag if name == b"to" and not request.to_tag else b""))
    return b"\r\n".join((*lines, *fields, b"Content-Length: %d" % len(body), b"", body))


def answered(received: Received, own: Address) -> bytes:
    """The 200 to an INVITE."""
    contact = b"Contact: <sip:answerer@%b>" % host_port(own).encode()
    body = silent_answer(received.request.message.body, own[0])
    return reply(received, 200, fields=(contact, ALLOW, b"Content-Type: application/sdp"), body=body)


def registered(received: Received) -> bytes:
    """The 200 to a REGISTER: every binding is welcome."""
    message = received.request.message
    kept = [
        line.rstrip(b"\r")
        for name, line in zip(message.names, message.lines, strict=True)
        if name in (b"contact", b"path", b"expires")
    ]
    if b"expires" not in message.first:
        kept.append(b"Expires: 3600")
    return reply(received, 200, fields=kept)


def silent_answer(offer: bytes, host: str) -> bytes:
    """A session description that takes every plain audio stream and sends nothing; an offer of one if there is none."""
    where = b"IN IP4 " + host.encode()
    head = (b"v=0", b"o=- 1 1 " + where, b"s=-", b"c=" + where, b"t=0 0")
    media: list[bytes] = []
    for line in offer.split(b"\n"):
        kind, _, rest = line.strip().partition(b"m=")
        words = rest.split()
        if kind or len(words) < 4:
            continue
        if words[0] == b"audio" and words[2] in _PLAIN_RTP and words[1] != b"0":
            media += [b"m=audio 9 %b %b" % (words[2], words[3]), b"a=inactive"]
        else:  # RFC 3264 6: refused with port 0
            media.append(b"m=%b 0 %b %b" % (words[0], words[2], words[3]))
    return b"\r\n".join((*head, *(media or (b"m=audio 9 RTP/AVP 0", b"a=inactive")), b""))
