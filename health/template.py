"""How does a request that somebody has written become a probe?"""

from __future__ import annotations

import re

import attrs

from health.options import MAX_FORWARDS, Identity
from sip.address import tag_of
from sip.errors import SipError
from sip.message import Message, unfold
from sip.request import Request, read_call_id, read_cseq, read_request
from sip.uri import Address, host_port

_LINE_END = re.compile(rb"\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")

_REWRITTEN = frozenset((b"via", b"content-length"))


@attrs.frozen
class Template:
    """A request as written; `message` has CRLF at all line ends."""

    message: Message
    verbatim: bool = False
    """Sent as it is, with its own Via."""


def read_template(data: bytes, *, verbatim: bool = False) -> Template:
    """Read a request; raises SipError when it is none.

    Line ends are made CRLF in the head, where a missing empty line at the end is added; with `verbatim` nothing is
    changed, and everything a request needs must be there.
    """
    if not data.strip():
        raise SipError("Nothing in it")
    if verbatim:
        return Template(read_back(data).message, verbatim=True)
    found = _END_OF_HEAD.search(data)
    head, body = (data, b"") if found is None else (data[: found.start()], data[found.end() :])
    message = Message.parse(_LINE_END.sub(b"\r\n", head).rstrip(b"\r\n") + b"\r\n\r\n" + body)
    if not message.method:
        raise SipError("Not a request")
    for name in (b"from", b"to"):
        if name not in message.first:
            raise SipError(f"Missing {name.decode().title()}")
    template = Template(message)
    anybody = Identity(b"z9hG4bK-", b"call", 1, b"tag")
    identity = identity_within(template, anybody)
    read_back(compose_from(template, identity, source=("192.0.2.1", 5060), transport="UDP"))
    return template


def read_back(data: bytes) -> Request:
    """The request that these bytes are; raises SipError."""
    return read_request(Message.parse(data))


def identity_within(template: Template, fresh: Identity) -> Identity:
    """What the probe is known by: what the request says of itself, else `fresh`; raises SipError."""
    message = template.message
    if template.verbatim:
        own = read_back(message.to_bytes())
        return Identity(own.via.branch, own.call_id, own.cseq, own.from_tag)
    first = message.first
    cseq, method = read_cseq(message) if b"cseq" in first else (fresh.cseq, message.method)
    if method != message.method:
        raise SipError("CSeq method does not match the request")
    return Identity(
        fresh.branch,
        read_call_id(message) if b"call-id" in first else fresh.call_id,
        cseq,
        tag_of(first[b"from"]) or fresh.from_tag,
    )


def compose_from(
    template: Template, identity: Identity, *, source: Address, transport: str, fields: tuple[bytes, ...] = ()
) -> bytes:
    """The bytes of a probe.

    A Via of ours replaces those of the request, Content-Length is set, CSeq is written anew, and Call-ID, From tag and
    Max-Forwards are added where they are missing; all the rest leaves as written.
    """
    message = template.message
    if template.verbatim:
        return message.to_bytes()
    via = b"Via: SIP/2.0/" + transport.encode() + b" " + host_port(source).encode()
    lines = [message.start, via + b";branch=" + identity.branch + b";rport"]
    for name, line in zip(message.names, message.lines, strict=True):
        if name in _REWRITTEN or name == b"cseq":
            continue
        if name == b"from" and not tag_of(message.first[b"from"]):
            lines.append(b"From: " + unfold(message.first[b"from"]) + b";tag=" + identity.from_tag)
        else:
            lines.append(line)
    if b"call-id" not in message.first:
        lines.append(b"Call-ID: " + identity.call_id)
    if b"max-forwards" not in message.first:
        lines.append(b"Max-Forwards: %d" % MAX_FORWARDS)
    lines += [b"CSeq: %d %s" % (identity.cseq, message.method), *fields, b"Content-Length: %d" % len(message.body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + message.body
